#!/usr/bin/env bash
# ESC-50: CNN14 from scratch, L-MAC, its fine-tuning, L2I, and the paper's table of mixtures with
# every method. Goes on where it was killed.
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
recipe=recipes/ESC50
set -- --data_folder="$data" "$@"

echo "On one CPU core with bf16: classifier 41 minutes, L-MAC 12, its fine-tuning 5, L2I 5, every method" \
    "on 800 mixtures 60${speech:+, the other tables 150 more} (all after L-MAC reckoned, not measured)."
"$python" train_classifier.py $recipe/classifier.yaml "$@"
"$python" train_lmac.py $recipe/lmac.yaml "$@"
"$python" train_lmac.py $recipe/lmac_finetune.yaml "$@"
"$python" -m lmac l2i $recipe/l2i.yaml "$@"
"$python" -m lmac table $recipe/table2_mixtures.yaml "$@"
if [[ -n $speech ]]; then
    "$python" eval_explanations.py $recipe/evaluation.yaml --listen=0 \
        --target_folds=[5] --contaminant_folds=[4] \
        --output_folder=results/ESC50/evaluation/mixtures_stft_fold5 "$@"
    "$python" -m lmac table $recipe/table3_white_noise.yaml --listen=0 "$@"
    "$python" -m lmac table $recipe/table4_speech.yaml --listen=0 --contaminant_folder="$speech" "$@"
fi
# What may be published: numbers, manifest and a few figures, but no audio we did not make.
"$python" -m lmac publish results/ESC50 $recipe/results --figures=mixtures_stft
