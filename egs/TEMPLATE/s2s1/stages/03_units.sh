# Stage 3: the units of the CTC head, and the statistics that normalise features.

collect_stats() { # ESPnet's own collection over training and development set
    local dir="${expdir}/stats"
    job "${dir}/collect_stats.log" "${threads[@]}" python -m freeze_omni.bin.train encoder \
        --config "${conf}/1.1_encoder.yaml" --output_dir "${dir}" --collect_stats true --ngpu 0 \
        --units "${datadir}/token_list" --resume false \
        --train_dir "$(asr_train_dir)" --valid_dir "${dumpdir}/raw/${valid_set}"
}

stage_3() {
    [ -n "${train_set}" ] || { log "no --train_set: nothing to do"; return; }
    local raw
    raw=$(asr_train_dir)
    if [ "${unit_kind}" = llm ]; then need llm; fi
    once units "${raw}/text" "${llm}" --makes "${datadir}/token_list" -- \
        job "${datadir}/token_list/log/make_units.log" python -m freeze_omni.bin.make_units \
        --text "${raw}/text" --kind "${unit_kind}" --llm "${llm}" \
        --min_count "${unit_min_count}" --size "${nbpe}" --output "${datadir}/token_list"
    once stats "${raw}" "${conf}/1.1_encoder.yaml" -- collect_stats
}
