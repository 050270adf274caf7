#!/usr/bin/env bash
# The paper's whole system on public data: the sets of the other recipes, conf/paper (options: ./s2s.sh --help)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
exec ./s2s.sh \
    --conf conf/paper --ngpu 8 --nj 32 \
    --train_set asr_train --valid_set asr_dev \
    --test_sets "aishell_test test_net test_meeting dev_clean dev_other test_clean test_other" \
    --tts_train_set tts_train --tts_valid_set tts_dev --tts_test_set tts_test \
    --dialogue_conf conf/dialogue.yaml --dialogue_train_set train --dialogue_valid_set dev \
    --qa_test_set test --spoken_test_set spoken_test --scene_test_set duplex_test \
    --asr_pad_s "0 0" --max_wav_duration_s 30 --adapters conv \
    "$@"
