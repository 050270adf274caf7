#!/usr/bin/env bash
# Whose voice it is: the speaker encoder of Resemblyzer (Apache-2.0), read out of its wheel. Prints the folder.
# FREEZE_OMNI_SPEAKER_ENCODER_DIR names your own folder.
set -euo pipefail
# shellcheck source=tools/installers/fetch.sh
source "$(dirname "$0")/fetch.sh"
part_begin speaker_encoder 1 FREEZE_OMNI_SPEAKER_ENCODER_DIR pretrained.pt

from_pypi Resemblyzer 0.1.4 Resemblyzer-0.1.4-py3-none-any.whl \
  8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f
unpack_wheel "$fetched" "$new/tmp"
mv "$new/tmp/resemblyzer/pretrained.pt" "$new/"
keep_licences "$new/tmp" Resemblyzer
note "Resemblyzer: Apache-2.0"
rm -rf "$new/tmp"
part_end
