#!/usr/bin/env bash
# What training against other networks brings: trains them and the decoders, and shows what each
# decoder keeps to all, aisfx included, which is in none of the losses. After run.sh, whose
# classifier and decoder it starts from. About two hours of one CPU core; goes on where it
# was killed.
#
#   pip install --no-deps aisfx==0.1.2
#   recipes/ESC10/transfer.sh /path/to/ESC-10
set -euo pipefail
data=$(realpath "$1"); shift
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
recipe=recipes/ESC10 results=results/ESC10

set -- --data_folder="$data" "$@"
"$python" -m lmac seeds $recipe/recipe.yaml --seeds=[1] "$@"
"$python" train_classifier.py recipes/ESC10_wave1d/recipe.yaml "$@"
"$python" train_classifier.py recipes/ESC10_aisfx/recipe.yaml "$@"
compressive() { # architecture, folder, seed
    "$python" train_classifier.py $recipe/recipe.yaml --seed="$3" --output_folder=$results/"$2" \
        --classifier_yaml=hparams/classifiers/"$1"_compressive.yaml "${@:4}"
}
compressive cnn14 classifier_compressive 1234 "$@"
compressive vgg classifier_compressive_vgg 1234 "$@"
compressive vgg classifier_compressive_vgg_1 1 "$@"
compressive vgg classifier_compressive_vgg_2 2 "$@"
for decoder in lmac_transfer lmac_compressive lmac_compressive_two lmac_compressive_four \
    lmac_compressive_two_finetune; do
    "$python" train_lmac.py $recipe/recipe.yaml:$decoder "$@"
done
transfer=$results/seeds/seed_1/classifier/best,results/ESC10_wave1d/classifier/best
transfer+=,results/ESC10_aisfx/classifier/best
transfer+=,$results/classifier_compressive/best,$results/classifier_compressive_vgg/best
score() {
    "$python" eval_explanations.py $recipe/recipe.yaml:transfer "$@"
    "$python" -m lmac audit $recipe/recipe.yaml:transfer --audit_clips=80 --transfer_classifiers=["$transfer"] "$@"
}
score "$@"
# On clips that chose nothing, and in white noise.
two="two compressive"
some=--methods=["L-MAC,L-MAC ($two),L-MAC FT,L-MAC FT ($two),L-MAC FT ($two + floor 0.1),GradCAM,\
All-ones,Random,Oracle"]
score "$@" "$some" --target_folds=[5] --contaminant_folds=[4] \
    --output_folder=$results/evaluation/transfer_stft_fold5
"$python" eval_explanations.py $recipe/recipe.yaml:transfer "$@" "$some" --scenario=white_noise \
    --output_folder=$results/evaluation/transfer_white_noise_stft
"$python" -m lmac publish $results $recipe/results
