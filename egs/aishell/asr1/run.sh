#!/usr/bin/env bash
# AISHELL-1, Mandarin read speech: stages 1.1 and 1.2 (options: ./s2s.sh --help)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
exec ./s2s.sh \
    --conf conf/zh/base \
    --train_set train --valid_set dev --test_sets "dev test" \
    --unit_kind char --asr_pad_s "0 0" \
    "$@"
