#!/usr/bin/env bash
# A 1-D CNN on raw waveforms, trained and explained on ESC-10. Goes on where it was killed. About 35
# minutes of one CPU core.
#
#   recipes/ESC10_wave1d/run.sh /path/to/ESC-10 [--key=value ...]     (keys all steps share)
set -euo pipefail
data=$(realpath "$1"); shift
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
recipe=recipes/ESC10_wave1d

"$python" train_classifier.py $recipe/recipe.yaml --data_folder="$data" "$@"
"$python" train_lmac.py $recipe/recipe.yaml --data_folder="$data" "$@"
"$python" train_lmac.py $recipe/recipe.yaml:lmac_finetune --data_folder="$data" "$@"
"$python" -m lmac l2i $recipe/recipe.yaml --data_folder="$data" "$@"
# All WAV files of L-MAC, to be classified again.
"$python" eval_explanations.py $recipe/recipe.yaml --data_folder="$data" \
    "--methods=[L-MAC,L-MAC FT]" --listen=160 "$@"
"$python" eval_explanations.py $recipe/recipe.yaml --data_folder="$data" "$@"
"$python" -m lmac resynthesis $recipe/recipe.yaml --data_folder="$data" "$@"
"$python" -m lmac publish results/ESC10_wave1d $recipe/results --figures=mixtures_stft
