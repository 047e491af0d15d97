#!/usr/bin/env bash
# ESC-50: CNN14 from scratch, L-MAC, and the paper's table of mixtures. Goes on where it was killed.
#
#   recipes/ESC50/run.sh /path/to/ESC-50 [/path/to/speech] [--key=value ...]
#       keys that all steps share. With a folder of speech, LJSpeech's wavs or any other, also white
#       noise, speech and targets of fold 5.
set -euo pipefail
data=$(realpath "$1"); shift
speech=
if [[ $# -gt 0 && -d $1 ]]; then
    speech=$(realpath "$1"); shift
fi
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
recipe=recipes/ESC50/recipe.yaml
set -- --data_folder="$data" "$@"

echo "On one CPU core with bf16: classifier 41 minutes, L-MAC 34, without the class 12, PIQ 5, L2I 4, every" \
    "method on 800 mixtures 50${speech:+; the other scenarios some 3 hours more}."
"$python" train_classifier.py $recipe "$@"
"$python" train_lmac.py $recipe "$@"
"$python" train_lmac.py $recipe:lmac_unconditioned "$@"
"$python" -m lmac l2i $recipe "$@"
"$python" -m lmac piq $recipe "$@"
"$python" -m lmac table $recipe:table2_mixtures "$@"
if [[ -n $speech ]]; then
    "$python" eval_explanations.py $recipe --listen=0 \
        --target_folds=[5] --contaminant_folds=[4] \
        --output_folder=results/ESC50/evaluation/mixtures_stft_fold5 "$@"
    "$python" -m lmac table $recipe:table3_white_noise --listen=0 "$@"
    "$python" -m lmac table $recipe:table4_speech --listen=0 --contaminant_folder="$speech" "$@"
fi
# What may be published: numbers, manifest and a few figures, but no audio we did not make.
"$python" -m lmac publish results/ESC50 recipes/ESC50/results --figures=mixtures_stft
