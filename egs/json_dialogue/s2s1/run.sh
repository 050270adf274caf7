#!/usr/bin/env bash
# Instruction data in JSON (Alpaca, ShareGPT, OpenAI messages, OASST): all stages (options: ./s2s.sh --help)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
exec ./s2s.sh \
    --conf conf/base \
    --train_set asr_train --valid_set asr_dev --test_sets asr_test \
    --tts_train_set tts_train --tts_valid_set tts_dev --tts_test_set tts_test \
    --dialogue_conf conf/dialogue.yaml --dialogue_train_set train --dialogue_valid_set dev \
    --qa_test_set test --spoken_test_set spoken_test --scene_test_set duplex_test \
    "$@"
