#!/usr/bin/env bash
# The default recipe: a spoken dialogue model on two CPU cores, in an hour. It hears through Whisper tiny.en.
# --scale mini (default) | base (better, some hours) | mini_scratch, base_scratch (the whole encoder is trained here, on
# the fact tables alone) | tiny (a toy that only shows that the stages fit together)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
scale=mini
if [ "${1:-}" = --scale ]; then scale=$2 && shift 2; fi
size=${scale%_scratch}
suffix=$([ "${scale}" = mini ] || echo "_${scale}")
duplex_scenes=1 adapters=words unit_kind=word open_share=1 llm="" llm_gguf="" judge="" encoder="" transcriber="" lexicon=""
if [ "${size}" = base ]; then duplex_scenes=10; fi
if [ "${size}" != "${scale}" ]; then adapters=ctc unit_kind=llm open_share=0; fi
if [ "${scale}" = tiny ]; then duplex_scenes=0 adapters="ctc conv" unit_kind=llm open_share=0; fi
# shellcheck source=egs/mini/s2s1/local/parts.sh
. ./local/parts.sh

exec ./s2s.sh \
    --conf "conf/${scale}" --result_notes results/notes.md --outside_sets "${FREEZE_OMNI_OUTSIDE:-}" \
    --datadir "data${suffix}" --dumpdir "dump${suffix}" --expdir "exp${suffix}" \
    --local_data_opts "--scale ${size} --open_share ${open_share}" \
    --train_set asr_train --optional_train_sets asr_real_train --valid_set asr_dev \
    --test_sets "asr_test_seen asr_test_unseen" --optional_test_sets asr_test_real \
    --tts_train_set tts_train --tts_valid_set tts_dev --tts_test_set tts_test \
    --dialogue_conf "local/dialogue/${size}.yaml" --dialogue_train_set train --dialogue_valid_set dev \
    --qa_test_set test --further_qa_sets test_unseen --spoken_test_set spoken_test --scene_test_set duplex_test \
    --encoder "${encoder}" --transcriber "${transcriber}" --transcribed 200 --unit_kind "${unit_kind}" --lexicon "${lexicon}" \
    --llm "${llm}" --llm_gguf "${llm_gguf}" --judge "${judge}" --adapters "${adapters}" --duplex_scenes "${duplex_scenes}" \
    "$@"
