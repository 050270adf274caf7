#!/usr/bin/env bash
# AN4, spelt names and numbers: a small corpus to try things with (options: ./s2s.sh --help)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
exec ./s2s.sh \
    --conf conf/base \
    --train_set train_nodev --valid_set train_dev --test_sets test \
    --unit_kind bpe --nbpe 30 --asr_pad_s "0 0" \
    "$@"
