#!/usr/bin/env bash
# The whole method on the built-in sounds, in about five minutes on a CPU core.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
recipe=recipes/demo

"$python" train_classifier.py $recipe/recipe.yaml "$@"
"$python" train_lmac.py $recipe/recipe.yaml "$@"
"$python" eval_explanations.py $recipe/recipe.yaml "$@"
