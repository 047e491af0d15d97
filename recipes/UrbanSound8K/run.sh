#!/usr/bin/env bash
# UrbanSound8K's first three folds (hparams/datasets/urbansound8k_3folds.yaml): CNN14, L-MAC, its
# fine-tuning, L2I, mixtures, white noise and speech, and whether CNN14 of another seed agrees. About
# an hour and a half of one CPU core. Goes on where it was killed. The speech folder is LJSpeech's
# wavs, or any other.
#
#   recipes/UrbanSound8K/run.sh /path/to/UrbanSound8K /path/to/speech [--key=value ...]
#       keys that all steps share; the published ten folds, in about twelve hours:
#       --dataset_yaml=hparams/datasets/urbansound8k.yaml
set -euo pipefail
data=$(realpath "$1"); speech=$(realpath "$2"); shift 2
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
recipe=recipes/UrbanSound8K
set -- --data_folder="$data" --dataset_yaml=hparams/datasets/urbansound8k_3folds.yaml "$@"

"$python" train_classifier.py $recipe/recipe.yaml "$@"
# A quarter of the published data: more epochs.
"$python" train_lmac.py $recipe/recipe.yaml --number_of_epochs=15 "$@"
"$python" train_lmac.py $recipe/recipe.yaml:lmac_finetune --number_of_epochs=2 "$@"
"$python" -m lmac l2i $recipe/recipe.yaml "$@"
"$python" -m lmac seeds $recipe/recipe.yaml --seeds=[1] "$@"
score() {
    "$python" eval_explanations.py $recipe/recipe.yaml "$@"
}
audit() {
    "$python" -m lmac audit $recipe/recipe.yaml --audit_clips=80 \
        --transfer_classifiers=[results/UrbanSound8K/seeds/seed_1/classifier/best] \
        --methods=["L-MAC,L-MAC FT,L2I,GradCAM,All-ones,Random,Oracle"] "$@"
}
score --listen=6 "$@"
audit "$@"
for scenario in white_noise speech; do
    score --listen=0 --scenario=$scenario --contaminant_folder="$speech" "$@"
    audit --scenario=$scenario --contaminant_folder="$speech" "$@"
done
"$python" -m lmac publish results/UrbanSound8K $recipe/results --figures=mixtures_stft
