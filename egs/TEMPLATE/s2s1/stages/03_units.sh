# Stage 3: the units of the CTC head, and the statistics that normalise features.

stats_dir() { # with those of a tag that has its own encoder
    local encoder
    encoder=$(folder_of encoder)
    echo "${expdir}/$(dirname "${encoder}")/stats" | sed 's,/\./,/,'
}

collect_stats() { # collect_stats DIR: ESPnet's own collection over training and development set
    local dir=$1
    shift
    job "${dir}/collect_stats.log" "${threads[@]}" python -m freeze_omni.bin.train encoder \
        --config "${conf}/$(encoder_conf).yaml" --output_dir "${dir}" --collect_stats true --ngpu 0 \
        --units "${datadir}/token_list" --resume false "${pretrained[@]}" \
        --train_dir "$(heard "$(asr_train_dir)")" --valid_dir "$(heard "${dumpdir}/raw/${valid_set}")" "$@"
}

stage_3() {
    [ -n "${train_set}" ] || { log "no --train_set: nothing to do"; return; }
    local raw dir overrides=()
    raw=$(asr_train_dir)
    if [ "${unit_kind}" = llm ]; then need llm; fi
    once units "${raw}/text" "${llm}" "${lexicon}" --makes "${datadir}/token_list" -- \
        job "${datadir}/token_list/log/make_units.log" python -m freeze_omni.bin.make_units \
        --text "${raw}/text" --kind "${unit_kind}" --llm "${llm}" \
        --min_count "${unit_min_count}" --size "${nbpe}" --output "${datadir}/token_list" ${lexicon:+--lexicon "${lexicon}"}
    dump_feats "${raw}" --augment true
    dump_feats "${dumpdir}/raw/${valid_set}" --in_use true
    dir=$(stats_dir)
    if [ -z "${tag}" ] || [[ "${dir}" == *"/${mine}"* ]]; then read_overrides encoder; fi
    once "${dir#"${expdir}/"}" "${raw}" "${dumpdir}/raw/${valid_set}" "${datadir}/token_list" "${encoder}" \
        "${conf}/$(encoder_conf).yaml" "${overrides[@]}" -- \
        collect_stats "${dir}" "${overrides[@]}"
}
