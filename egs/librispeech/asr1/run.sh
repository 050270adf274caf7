#!/usr/bin/env bash
# LibriSpeech, English read speech: stages 1.1 and 1.2 (options: ./s2s.sh --help)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
exec ./s2s.sh \
    --conf conf/base \
    --train_set train_clean_100 --valid_set dev_clean --test_sets "dev_clean dev_other test_clean test_other" \
    --unit_kind bpe --nbpe 500 --asr_pad_s "0 0" --max_wav_duration_s 30 \
    "$@"
