#!/usr/bin/env bash
# The end of a turn by its sound: the model file of smart-turn 3.2 (BSD-2), read out of pipecat's wheel. Prints the folder.
# FREEZE_OMNI_SMART_TURN_DIR names your own folder.
set -euo pipefail
# shellcheck source=tools/installers/fetch.sh
source "$(dirname "$0")/fetch.sh"
part_begin smart_turn 1 FREEZE_OMNI_SMART_TURN_DIR smart-turn-v3.2-cpu.onnx

from_pypi pipecat-ai 1.14.0 pipecat_ai-1.14.0-py3-none-any.whl \
  0352f504b44e78bdf524e45af4bc759601c835b9b7dc195efe5e03384b974a44
unpack_wheel "$fetched" "$new/tmp"
mv "$new/tmp/pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx" "$new/"
keep_licences "$new/tmp" pipecat-ai
rm -rf "$new/tmp"
part_end
