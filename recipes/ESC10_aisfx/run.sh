#!/usr/bin/env bash
# aisfx with a trained head on ESC-10, explained with every method on the direct path (it reads the
# masked spectrogram) and on the waveform path (it reads its sound). Goes on where it was killed.
# About two hours of one CPU core.
#
#   pip install --no-deps aisfx==0.1.2
#   recipes/ESC10_aisfx/run.sh /path/to/ESC-10 [--key=value ...]     (keys all steps share)
set -euo pipefail
data=$(realpath "$1"); shift
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
recipe=recipes/ESC10_aisfx

"$python" train_classifier.py $recipe/recipe.yaml --data_folder="$data" "$@"
"$python" -m lmac l2i $recipe/recipe.yaml --data_folder="$data" "$@"
for path in "" _waveform; do
    "$python" train_lmac.py $recipe/recipe.yaml:lmac$path --data_folder="$data" "$@"
    "$python" train_lmac.py $recipe/recipe.yaml:lmac_finetune$path --data_folder="$data" "$@"
    # All WAV files of L-MAC, to be classified again.
    "$python" eval_explanations.py $recipe/recipe.yaml:evaluation$path --data_folder="$data" \
        "--methods=[L-MAC,L-MAC FT]" --listen=160 "$@"
    "$python" eval_explanations.py $recipe/recipe.yaml:evaluation$path --data_folder="$data" "$@"
    "$python" -m lmac resynthesis $recipe/recipe.yaml:evaluation$path --data_folder="$data" "$@"
done
"$python" -m lmac publish results/ESC10_aisfx $recipe/results --figures=mixtures_stft
