#!/usr/bin/env bash
# Stage 1: WenetSpeech as Kaldi directories with segments.
set -euo pipefail
. ./path.sh
. ./db.sh
corpus=${WENETSPEECH}  # Folder of the corpus; WENETSPEECH in db.sh or in the environment.
data=data  # Where the directories go.
nj=2  # Parallel processes.
sets=train_l,dev,test_net,test_meeting  # Sets to prepare, with commas between; "all": those that are there.
prepare_opts=  # Further options of freeze_omni.bin.prepare_corpus wenetspeech, as "--most_skipped=0.2"; commas between.
. parse_options.sh
: "${corpus:?set WENETSPEECH in db.sh to the folder of the corpus}"
if [ "${sets}" = all ]; then sets=; fi
# shellcheck disable=SC2086
python -m freeze_omni.bin.prepare_corpus wenetspeech --root "${corpus}" --data "${data}" --nj "${nj}" \
    --sets ${sets//,/ } ${prepare_opts//,/ }
