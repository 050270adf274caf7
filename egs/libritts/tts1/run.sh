#!/usr/bin/env bash
# LibriTTS, many English voices: stages 2.1 and 2.2 (options: ./s2s.sh --help)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
exec ./s2s.sh \
    --conf conf/base \
    --tts_train_set train_clean_100 --tts_valid_set dev_clean --tts_test_set test_clean \
    "$@"
