#!/usr/bin/env bash
# Masks against planted cues, in backgrounds of ESC-10. Goes on where it was killed.
#
#   recipes/planted_cues/run.sh /path/to/ESC-10 [--key=value ...]
set -euo pipefail
data=$(realpath "$1"); shift
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
recipe=recipes/planted_cues results=results/planted_cues
set -- --background_folder="$data" "$@"

"$python" train_classifier.py $recipe/recipe.yaml "$@"
"$python" train_classifier.py $recipe/recipe.yaml:transfer --seed=1 "$@"
"$python" train_lmac.py $recipe/recipe.yaml "$@"
"$python" train_lmac.py $recipe/recipe.yaml:lmac_transfer "$@"
for name in cnn14 cnn14_transfer two_reasons; do
    "$python" -m lmac planted_cues $recipe/recipe.yaml:$name "$@"
done
"$python" -m lmac publish $results $recipe/results
