#!/usr/bin/env bash
# LJSpeech, one English voice: stages 2.1 and 2.2 (options: ./s2s.sh --help)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
exec ./s2s.sh \
    --conf conf/base \
    --tts_train_set tr_no_dev --tts_valid_set dev --tts_test_set eval1 \
    "$@"
