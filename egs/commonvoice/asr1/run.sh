#!/usr/bin/env bash
# Common Voice, any language: ./run.sh --lang de ... (options: ./s2s.sh --help)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
lang=en
if [ "${1:-}" = --lang ]; then
    lang=$2
    shift 2
fi
name=${lang//-/_}
exec ./s2s.sh \
    --conf conf/base \
    --datadir "data_${name}" --dumpdir "dump_${name}" --expdir "exp_${name}" \
    --train_set "train_${name}" --valid_set "dev_${name}" --test_sets "test_${name}" \
    --unit_kind bpe --nbpe 500 --asr_pad_s "0 0" --local_data_opts "--lang ${lang}" \
    "$@"
