#!/usr/bin/env bash
# Classifier, L-MAC and evaluation on ESC-10. Goes on where it was killed.
#
#   recipes/ESC10/run.sh /path/to/ESC-10 [--key=value ...]     (keys all three steps share)
#
# ESC-50's folder does as well: only its ESC-10 clips are read.
set -euo pipefail
data=$(realpath "$1"); shift
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
recipe=recipes/ESC10

"$python" train_classifier.py $recipe/classifier.yaml --data_folder="$data" "$@"
"$python" train_lmac.py $recipe/lmac.yaml --data_folder="$data" "$@"
"$python" eval_explanations.py $recipe/evaluation.yaml --data_folder="$data" "$@"

# What may be published: numbers, manifest and a few figures, but no audio we did not make.
"$python" -m lmac publish results/ESC10 $recipe/results --figures=mixtures_stft
