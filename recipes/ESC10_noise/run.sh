#!/usr/bin/env bash
# Table 1 on ESC-10 as it is meant: everything trained in ambient noise at 0 dB, evaluated in other
# recordings of the same collection. Goes on where it was killed.
#
#   recipes/ESC10_noise/run.sh /path/to/ESC-10 /path/to/wham_noise
#
# The second folder has tr and tt.
set -euo pipefail
data=$(realpath "$1"); noise=$(realpath "$2")
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
recipe=recipes/ESC10_noise

train=(--data_folder="$data" --noise_folder="$noise/tr")
"$python" train_classifier.py $recipe/recipe.yaml "${train[@]}"
for domain in stft mel; do
    "$python" train_lmac.py $recipe/recipe.yaml "${train[@]}" --domain=$domain
    "$python" train_lmac.py $recipe/recipe.yaml:lmac_finetune "${train[@]}" --domain=$domain
done
"$python" -m lmac l2i $recipe/recipe.yaml "${train[@]}"
"$python" -m lmac table $recipe/recipe.yaml:table1_id --data_folder="$data" \
    --contaminant_folder="$noise/tt"
"$python" -m lmac publish results/ESC10_noise $recipe/results
