#!/usr/bin/env bash
# The turns of written dialogues in data/qa_*, spoken: called by local/data.sh of a recipe.
set -euo pipefail
data=data  # Where the directories are.
nj=2  # Parallel processes.
voices=kokoro  # The users' voices, with commas between; a back-end alone: all its voices.
voice=kokoro:af_heart  # The assistant's voice.
judge=  # A CTranslate2 Whisper folder: synthetic speech that it does not recognise is left out.
speak_opts=  # Further options of freeze_omni.bin.speak_dialogues, as "--dialogues=1000,--rounds=2".
. parse_options.sh
case ${voices},${voice} in
    *kokoro*) "${MAIN_ROOT}/tools/installers/get_kokoro.sh" >/dev/null ;;&
    *flite*) "${MAIN_ROOT}/tools/installers/get_flite.sh" >/dev/null ;;
esac
IFS=, read -ra more <<<"${speak_opts}"  # a blank may be part of a word
python -m freeze_omni.bin.speak_dialogues --data "${data}" --nj "${nj}" --voices "${voices}" --voice "${voice}" \
    "${more[@]}"
if [ -n "${judge}" ]; then
    python -m freeze_omni.bin.reject_spoken "${data}"/{asr,tts}_{train,dev,test} --judge "${judge}"
fi
