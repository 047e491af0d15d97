#!/usr/bin/env bash
# A decoder that can be asked for any class, on the mixtures of ESC-10: trained, evaluated on the
# classifier's own decisions, and asked for classes. Goes on where it was killed.
#
#   recipes/ESC10_conditional/run.sh /path/to/ESC-10
#
# The classifier is that of recipes/ESC10, trained here if it is not there.
set -euo pipefail
data=$(realpath "$1")
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
recipe=recipes/ESC10_conditional

"$python" train_classifier.py recipes/ESC10/recipe.yaml --data_folder="$data"
"$python" train_lmac.py $recipe/recipe.yaml --data_folder="$data"
"$python" train_lmac.py $recipe/recipe.yaml:lmac_strict --data_folder="$data"
"$python" eval_explanations.py $recipe/recipe.yaml --data_folder="$data"
"$python" -m lmac asked $recipe/recipe.yaml --data_folder="$data"
fold5=(--target_folds=5 --contaminant_folds=4
    --output_folder=results/ESC10_conditional/evaluation/mixtures_stft_fold5)
"$python" eval_explanations.py $recipe/recipe.yaml --data_folder="$data" "${fold5[@]}" --listen=0
"$python" -m lmac asked $recipe/recipe.yaml --data_folder="$data" "${fold5[@]}"
"$python" -m lmac publish results/ESC10_conditional $recipe/results
