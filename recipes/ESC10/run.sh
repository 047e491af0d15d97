#!/usr/bin/env bash
# ESC-10. Goes on where it was killed. ESC-50's folder does as well: only its ESC-10 clips are read.
#
#   recipes/ESC10/run.sh /path/to/ESC-10 [--key=value ...]      (keys all three steps share)
#       classifier, L-MAC and the mixtures: about 35 minutes on two CPU cores
#
#   recipes/ESC10/run.sh /path/to/ESC-10 /path/to/wham_noise/tt /path/to/speech
#       every table of the paper: all trainings, all methods, both domains, four scenarios, in about
#       two and a half hours. The speech folder is LJSpeech's wavs, or any other. The classifier is
#       not trained in noise; recipes/ESC10_noise has the published table 1.
set -euo pipefail
data=$(realpath "$1"); shift
noise=; speech=
if [[ $# -eq 2 && -d $1 && -d $2 ]]; then
    noise=$(realpath "$1"); speech=$(realpath "$2"); shift 2
fi
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
recipe=recipes/ESC10

"$python" train_classifier.py $recipe/recipe.yaml --data_folder="$data" "$@"
if [[ -z $noise ]]; then
    "$python" train_lmac.py $recipe/recipe.yaml --data_folder="$data" "$@"
    "$python" eval_explanations.py $recipe/recipe.yaml --data_folder="$data" "$@"
else
    for domain in stft mel; do
        "$python" train_lmac.py $recipe/recipe.yaml --data_folder="$data" --domain=$domain
        "$python" train_lmac.py $recipe/recipe.yaml:lmac_finetune --data_folder="$data" --domain=$domain
    done
    "$python" -m lmac l2i $recipe/recipe.yaml --data_folder="$data"

    table() { "$python" -m lmac table $recipe/recipe.yaml:"$1" --data_folder="$data" "${@:2}"; }
    table table1_noise --contaminant_folder="$noise" --listen=0
    table table2_mixtures
    table table3_white_noise --listen=0
    table table4_speech --contaminant_folder="$speech" --listen=0
fi
# What may be published: numbers, manifest and a few figures, but no audio we did not make.
"$python" -m lmac publish results/ESC10 $recipe/results --figures=mixtures_stft
