#!/usr/bin/env bash
# Stage 1: LibriSpeech as Kaldi directories; transcripts in lower case.
set -euo pipefail
. ./path.sh
. ./db.sh
corpus=${LIBRISPEECH}  # Folder of the corpus; LIBRISPEECH in db.sh or in the environment.
data=data  # Where the directories go.
nj=2  # Parallel processes.
sets=train_clean_100,dev_clean,dev_other,test_clean,test_other  # Sets to prepare, with commas between; "all": all that the corpus has here.
train_960=false  # Also combine the three training subsets to train_960 (name them in --sets).
prepare_opts=  # Further options of freeze_omni.bin.prepare_corpus librispeech, as "--most_skipped=0.2"; commas between.
. parse_options.sh
: "${corpus:?set LIBRISPEECH in db.sh to the folder of the corpus}"
if [ "${sets}" = all ]; then sets=; fi
IFS=, read -ra more <<<"${prepare_opts}"  # a blank may be part of a word
# shellcheck disable=SC2086
python -m freeze_omni.bin.prepare_corpus librispeech --root "${corpus}" --data "${data}" --nj "${nj}" \
    --sets ${sets//,/ } --case lower "${more[@]}"
if "${train_960}"; then
    combine_data.sh "${data}/train_960" "${data}"/train_{clean_100,clean_360,other_500}
fi
