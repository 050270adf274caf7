#!/usr/bin/env bash
# Speech output from any text file, spoken by a synthesiser: stages 2.1 and 2.2 (options: ./s2s.sh --help)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
exec ./s2s.sh \
    --conf conf/base \
    --tts_train_set train --tts_valid_set dev --tts_test_set test \
    "$@"
