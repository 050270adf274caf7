#!/usr/bin/env bash
# Stage 1: SGD and Taskmaster (those that db.sh names) as questions, their turns spoken.
set -euo pipefail
. ./path.sh
. ./db.sh
sgd=${SGD}  # Folder dstc8-schema-guided-dialogue; empty: without it.
taskmaster=${TASKMASTER}  # Folder Taskmaster; empty: without it.
data=data  # Where the directories go.
nj=2  # Parallel processes.
judge=  # A CTranslate2 Whisper folder: synthetic speech that it does not recognise is left out.
voices=kokoro  # The users' voices, with commas between; a back-end alone: all its voices.
voice=kokoro:af_heart  # The assistant's voice.
speak_opts=  # Further options of freeze_omni.bin.speak_dialogues, as "--dialogues=1000,--rounds=2".
. parse_options.sh
: "${sgd:-${taskmaster:?set SGD or TASKMASTER in db.sh to the folder of the corpus}}"
for corpus in sgd taskmaster; do
    if [ -n "${!corpus}" ]; then
        python -m freeze_omni.bin.prepare_corpus "${corpus}" --root "${!corpus}" --data "${data}/${corpus}" \
            --nj "${nj}" --most_skipped 1
    fi
done
for set in qa_train qa_dev qa_test; do
    mkdir -p "${data}/${set}"
    for file in dialogues.jsonl questions.jsonl; do
        cat "${data}"/*/"${set}/${file}" >"${data}/${set}/${file}"
    done
done
speak_dialogues.sh --data "${data}" --nj "${nj}" --voices "${voices}" --voice "${voice}" --judge "${judge}" \
    --speak_opts "${speak_opts}"
