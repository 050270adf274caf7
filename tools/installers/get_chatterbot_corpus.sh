#!/usr/bin/env bash
# Everyday questions: the YAML files of chatterbot-corpus (BSD). Prints the folder (english/*.yml).
# FREEZE_OMNI_CHATTERBOT_DIR names your own folder.
set -euo pipefail
# shellcheck source=tools/installers/fetch.sh
source "$(dirname "$0")/fetch.sh"
part_begin chatterbot_corpus 1 FREEZE_OMNI_CHATTERBOT_DIR english

from_pypi chatterbot-corpus 1.3.3 chatterbot_corpus-1.3.3-py2.py3-none-any.whl \
  86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154
unpack_wheel "$fetched" "$new/tmp"
mv "$new/tmp/chatterbot_corpus/data/english" "$new/english"
keep_licences "$new/tmp" chatterbot-corpus
note "chatterbot-corpus: BSD"
rm -rf "$new/tmp"
part_end
