#!/usr/bin/env bash
# Every table of the paper on ESC-10: all trainings, all methods, both domains, four scenarios. The
# classifier is not trained in noise; recipes/ESC10_noise has the published table 1.
# About two and a half hours on two CPU cores; goes on where it was killed.
#
#   recipes/ESC10/tables.sh /path/to/ESC-10 /path/to/wham_noise/tt /path/to/speech
#
# The speech folder is LJSpeech's wavs, or any other.
set -euo pipefail
data=$(realpath "$1"); noise=$(realpath "$2"); speech=$(realpath "$3")
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
recipe=recipes/ESC10

"$python" train_classifier.py $recipe/classifier.yaml --data_folder="$data"
for domain in stft mel; do
    "$python" train_lmac.py $recipe/lmac.yaml --data_folder="$data" --domain=$domain
    "$python" train_lmac.py $recipe/lmac_finetune.yaml --data_folder="$data" --domain=$domain
done
"$python" -m lmac l2i $recipe/l2i.yaml --data_folder="$data"

table() { "$python" -m lmac table $recipe/"$1".yaml --data_folder="$data" "${@:2}"; }
table table1_noise --contaminant_folder="$noise" --listen=0
table table2_mixtures
table table3_white_noise --listen=0
table table4_speech --contaminant_folder="$speech" --listen=0
"$python" -m lmac publish results/ESC10 $recipe/results --figures=mixtures_stft
