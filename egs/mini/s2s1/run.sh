#!/usr/bin/env bash
# The default recipe: a spoken dialogue model from scratch, on two CPU cores, within an hour.
# --scale mini (default) | base (better, some hours) | tiny (a toy that only shows that the stages fit together)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
scale=mini
if [ "${1:-}" = --scale ]; then
    scale=$2
    shift 2
fi
suffix=$([ "${scale}" = mini ] || echo "_${scale}")
duplex_scenes=1 adapters=ctc
# The convolution adapter would take its minutes from the CTC adapter, which is understood after them.
if [ "${scale}" = base ]; then duplex_scenes=4; fi
if [ "${scale}" = tiny ]; then duplex_scenes=0 adapters="ctc conv"; fi
llm="" judge=""
# shellcheck disable=SC1091
if [[ " $* " != *" --dry_run true "* ]]; then . ./local/parts.sh; fi

exec ./s2s.sh \
    --conf "conf/${scale}" --result_notes results/notes.md --outside_sets "${FREEZE_OMNI_OUTSIDE:-}" \
    --datadir "data${suffix}" --dumpdir "dump${suffix}" --expdir "exp${suffix}" \
    --local_data_opts "--scale ${scale}" \
    --train_set asr_train --optional_train_sets asr_real_train --valid_set asr_dev \
    --test_sets "asr_test_seen asr_test_unseen" --optional_test_sets asr_test_real \
    --tts_train_set tts_train --tts_valid_set tts_dev --tts_test_set tts_test \
    --dialogue_conf "local/dialogue/${scale}.yaml" --dialogue_train_set train --dialogue_valid_set dev \
    --qa_test_set test --further_qa_sets test_unseen --spoken_test_set spoken_test --scene_test_set duplex_test \
    --llm "${llm}" --judge "${judge}" --adapters "${adapters}" --duplex_scenes "${duplex_scenes}" \
    "$@"
