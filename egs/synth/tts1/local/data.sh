#!/usr/bin/env bash
# Stage 1: a text file, a sentence a line, spoken into data/{train,dev,test}. Finished sentences are kept.
set -euo pipefail
. ./path.sh
text=  # The text file.
voices=kokoro:af_heart  # Voices used in turn, backend:name[@speed], with commas between.
program=  # For `program:` voices: a command line with {output}, which reads the text from stdin.
judge=  # A CTranslate2 Whisper folder: speech that it does not recognise is left out.
held_out=50  # Sentences of dev, and the same number for test: the last ones.
data=data  # Where the directories go.
nj=2  # Parallel processes.
. parse_options.sh
: "${text:?give --text, a file with a sentence a line}"
case ${voices} in
    *kokoro*) "${MAIN_ROOT}/tools/installers/get_kokoro.sh" >/dev/null ;;&
    *flite*) "${MAIN_ROOT}/tools/installers/get_flite.sh" >/dev/null ;;
esac
python local/split_text.py "${text}" --data "${data}" --held_out "${held_out}"
for set in train dev test; do
    python -m freeze_omni.bin.tts_synthesize "${data}/${set}" --voices "${voices//,/ }" --program "${program}" --nj "${nj}"
done
if [ -n "${judge}" ]; then
    python -m freeze_omni.bin.reject_spoken "${data}"/{train,dev,test} --judge "${judge}"
fi
