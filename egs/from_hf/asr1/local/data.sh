#!/usr/bin/env bash
# Stage 1: the splits of a data set as Kaldi directories of the same names.
set -euo pipefail
. ./path.sh
dataset=  # Hub name, as user/name, or a folder: saved by the library, or with audio files and metadata.csv.
dataset_config=  # Configuration of the data set, as a language.
data=data  # Where the directories go.
nj=2  # Parallel processes.
sets=all  # Splits to prepare, with commas between; "all": all that the corpus has here.
prepare_opts=  # Further options of freeze_omni.bin.prepare_corpus from_hf, as "--text=words,--case=lower".
. parse_options.sh
: "${dataset:?give --dataset}"
if [ "${sets}" = all ]; then sets=; fi
IFS=, read -ra more <<<"${prepare_opts}"  # a blank may be part of a word
# shellcheck disable=SC2086
python -m freeze_omni.bin.prepare_corpus from_hf --root "${dataset}" --config "${dataset_config}" --data "${data}" \
    --nj "${nj}" --audio_dir "${data}/audio" --sets ${sets//,/ } "${more[@]}"
