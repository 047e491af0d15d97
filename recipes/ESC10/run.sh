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
from=results/ESC10/evaluation/mixtures_stft
to=$recipe/results/mixtures_stft
mkdir -p $to/figures
cp $from/{metrics.csv,summary.csv,table.md,scenario.csv} $to/
cp results/ESC10/classifier/best/{info.json,confusion.png} $to/
for clip in $(ls $from/samples | head -3); do
    for method in L-MAC GradCAM Saliency; do
        cp "$from/samples/$clip/$method/explanation.png" "$to/figures/${clip}_$method.png"
    done
done
echo "Copied to $to"
