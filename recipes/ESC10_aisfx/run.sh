#!/usr/bin/env bash
# aisfx with a trained head on ESC-10, explained on the direct path (on its spectrogram), or with
# --hearing=waveform on the sound. Goes on where it was killed. About two hours on one core.
#
#   pip install --no-deps aisfx==0.1.2
#   recipes/ESC10_aisfx/run.sh /path/to/ESC-10 [--hearing=waveform] [--key=value ...]
set -euo pipefail
data=$(realpath "$1"); shift
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
recipe=recipes/ESC10_aisfx

# The head is the same on both paths, so it is trained once, whatever the overrides.
[ -f results/ESC10_aisfx/classifier/best/classifier.ckpt ] ||
    "$python" train_classifier.py $recipe/classifier.yaml --data_folder="$data"
"$python" train_lmac.py $recipe/lmac.yaml --data_folder="$data" "$@"
"$python" eval_explanations.py $recipe/evaluation.yaml --data_folder="$data" "$@"
