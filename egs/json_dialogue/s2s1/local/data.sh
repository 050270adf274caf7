#!/usr/bin/env bash
# Stage 1: the dialogues as questions, their turns spoken.
set -euo pipefail
. ./path.sh
. ./db.sh
corpus=${JSON_DIALOGUE}  # Folder of the corpus; JSON_DIALOGUE in db.sh or in the environment.
data=data  # Where the directories go.
nj=2  # Parallel processes.
sets=qa_train,qa_dev,qa_test  # Sets to prepare, with commas between; "all": all that the corpus has here.
judge=  # A CTranslate2 Whisper folder: synthetic speech that it does not recognise is left out.
voices=kokoro  # The users' voices, with commas between; a back-end alone: all its voices.
voice=kokoro:af_heart  # The assistant's voice.
speak_opts=  # Further options of freeze_omni.bin.speak_dialogues, as "--dialogues=1000,--rounds=2".
prepare_opts=  # Further options of freeze_omni.bin.prepare_corpus json_dialogue, as "--most_skipped=0.2"; commas between.
. parse_options.sh
: "${corpus:?set JSON_DIALOGUE in db.sh to the folder of the corpus}"
if [ "${sets}" = all ]; then sets=; fi
IFS=, read -ra more <<<"${prepare_opts}"  # a blank may be part of a word
# shellcheck disable=SC2086
python -m freeze_omni.bin.prepare_corpus json_dialogue --root "${corpus}" --data "${data}" --nj "${nj}" \
    --sets ${sets//,/ } --most_skipped 1 "${more[@]}"
speak_dialogues.sh --data "${data}" --nj "${nj}" --voices "${voices}" --voice "${voice}" --judge "${judge}" \
    --speak_opts "${speak_opts}"
