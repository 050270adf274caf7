#!/usr/bin/env bash
# Any audio data set of the `datasets` library: ./run.sh --dataset NAME [--config NAME] (options: ./s2s.sh --help)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
dataset="" config=""
while [ "${1:-}" = --dataset ] || [ "${1:-}" = --config ]; do
    declare "${1#--}=$2"
    shift 2
done
: "${dataset:?give --dataset: a hub name or a folder}"
exec ./s2s.sh \
    --conf conf/base \
    --train_set train --valid_set validation --test_sets test \
    --unit_kind bpe --nbpe 500 --asr_pad_s "0 0" \
    --local_data_opts "--dataset '${dataset}' ${config:+--dataset_config '${config}'}" \
    "$@"
