#!/usr/bin/env bash
# AISHELL-3, many Mandarin voices: stages 2.1 and 2.2 (options: ./s2s.sh --help)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
exec ./s2s.sh \
    --conf conf/zh/base \
    --tts_train_set train_no_dev --tts_valid_set dev --tts_test_set test \
    "$@"
