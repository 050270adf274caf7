# Stage 2: each utterance at the model's rate, in files, shards or arks, filtered by length; speed perturbation.

format_set() { # format_set <set> <hz> [options]
    local set=$1 hz=$2
    shift 2
    prepare "${dumpdir}/raw/${set}/log/format.log" python -m freeze_omni.bin.format_wav_scp \
        "${datadir}/${set}" "${dumpdir}/raw/${set}" --hz "${hz}" "$@"
}

# read_packing: how the sounds are stored, if not as one wav file each; into the array `packing`.
read_packing() {
    packing=()
    if [ -n "${shards}" ] && [ "${shards}" != 0 ]; then packing+=(--shards "${shards}"); fi
    if [ "${audio_format}" != wav ]; then packing+=(--audio_format "${audio_format}"); fi
}

format_once() { # as format_set, if the set has changed or was never formatted
    local packing
    read_packing
    once "raw_$1" "${datadir}/$1" --makes "${dumpdir}/raw/$1" -- format_set "$@" "${packing[@]}"
}

# Silence around speech input: a streaming CTC head needs some after the last word to emit it.
stage_2() {
    local set padding lengths=(--min_s "${min_wav_duration_s}" --max_s "${max_wav_duration_s}")
    # shellcheck disable=SC2206
    padding=(--pad_s ${asr_pad_s})
    for set in $(asr_train_sets); do
        format_once "${set}" 16000 "${padding[@]}" "${lengths[@]}" --speeds "${speed_perturb_factors:-1.0}"
    done
    join_train_sets
    for set in ${valid_set} $(asr_test_sets); do
        format_once "${set}" 16000 "${padding[@]}"
    done
    for set in ${tts_train_set}; do
        format_once "${set}" 24000 "${lengths[@]}"
    done
    for set in ${tts_valid_set} ${tts_test_set}; do
        format_once "${set}" 24000
    done
}
