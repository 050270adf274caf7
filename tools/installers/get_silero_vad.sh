#!/usr/bin/env bash
# Voice activity: the model files of silero-vad (MIT), read out of its wheel. Prints the folder.
# FREEZE_OMNI_VAD_DIR names your own folder.
set -euo pipefail
# shellcheck source=tools/installers/fetch.sh
source "$(dirname "$0")/fetch.sh"
part_begin silero_vad 1 FREEZE_OMNI_VAD_DIR silero_vad.onnx

from_pypi silero-vad 6.2.3 silero_vad-6.2.3-py3-none-any.whl \
  7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8
unpack_wheel "$fetched" "$new/tmp"
mv "$new/tmp/silero_vad/data/"{silero_vad.jit,silero_vad.onnx,silero_vad_16k.safetensors} "$new/"
keep_licences "$new/tmp" silero-vad
note "silero-vad: MIT"
rm -rf "$new/tmp"
part_end
