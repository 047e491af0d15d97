#!/usr/bin/env bash
# Classifier and both stages with three seeds on UrbanSound8K's first three folds, and their table.
# About two and a half hours of one CPU core. Goes on where it was killed.
#
#   recipes/UrbanSound8K/seeds.sh /path/to/UrbanSound8K [--key=value ...]
set -euo pipefail
data=$(realpath "$1"); shift
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}

run() {
    "$python" -m lmac seeds recipes/UrbanSound8K/recipe.yaml --data_folder="$data" \
        --dataset_yaml=hparams/datasets/urbansound8k_3folds.yaml --seeds=[1234,1,2] "$@"
}
run --stages=[classifier] "$@"
run --stages=[lmac] --number_of_epochs=15 "$@" # as run.sh
run --stages=[lmac_finetune] --number_of_epochs=2 "$@"
run --stages=[evaluation] --methods=["L-MAC,L-MAC FT,Saliency,GradCAM,All-ones,Random,Oracle"] "$@"
