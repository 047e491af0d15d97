#!/usr/bin/env bash
# EfficientAT with a trained head on ESC-50, explained on the direct path (it reads the masked
# spectrogram). Goes on where it was killed.
#
#   recipes/ESC50_efficientat/run.sh /path/to/ESC-50 /path/to/mn04_as_mAP_432.pt [--key=value ...]
#   (keys all steps share)
set -euo pipefail
data=$(realpath "$1"); weights=$(realpath "$2"); shift 2
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
recipe=recipes/ESC50_efficientat

"$python" train_classifier.py $recipe/recipe.yaml --data_folder="$data" \
    --classifier_weights="$weights" "$@"
"$python" train_lmac.py $recipe/recipe.yaml --data_folder="$data" "$@"
"$python" eval_explanations.py $recipe/recipe.yaml --data_folder="$data" "$@"
"$python" -m lmac publish results/ESC50_efficientat $recipe/results --figures=mixtures_stft
