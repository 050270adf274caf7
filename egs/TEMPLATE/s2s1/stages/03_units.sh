# Stage 3: the units of the CTC head, a pretrained encoder as it is used (1.0) and its features, and the statistics that
# normalise features.

stats_dir() { # with those of a tag that has its own encoder
    local encoder
    encoder=$(folder_of encoder)
    echo "${expdir}/$(dirname "${encoder}")/stats" | sed 's,/\./,/,'
}

# collect_stats DIR: ESPnet's own collection over training and development set. Large sets are cut into shards of one size,
# of which --nj are at work at a time, so that the sums do not depend on --nj; a shard that is there is not made again.
: "${stats_shard_utterances:=20000}"
collect_stats() {
    local dir=$1 train valid shards number parts=() command
    shift
    train=$(heard "$(asr_train_dir)")
    valid=$(heard "${dumpdir}/raw/${valid_set}")
    command=(python -m freeze_omni.bin.train encoder --config "${conf}/$(encoder_conf).yaml" --collect_stats true --ngpu 0
        --units "${datadir}/token_list" --resume false "${pretrained[@]}" --train_dir "${train}" --valid_dir "${valid}" "$@")
    shards=$(stats_shards "${train}" "${valid}")
    if ((shards <= 1)); then
        job "${dir}/collect_stats.log" "${threads[@]}" "${command[@]}" --output_dir "${dir}"
        return
    fi
    if "${work_changed}"; then rm -rf "${dir}/shards"; fi
    mkdir -p "${dir}/shards"
    cut_ids "${train}/text" "${dir}/shards/train" "${shards}"
    cut_ids "${valid}/text" "${dir}/shards/valid" "${shards}"
    queue "${decode_cmd} --num-threads 1 --max-jobs-run ${nj} JOB=1:${shards}" "${dir}/shards/collect_stats.JOB.log" \
        test -e "${dir}/shards/JOB/valid/stats_keys" "||" env OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 "${command[@]}" \
        --train_shape_file "${dir}/shards/train.JOB" --valid_shape_file "${dir}/shards/valid.JOB" \
        --output_dir "${dir}/shards/JOB"
    for ((number = 1; number <= shards; number++)); do parts+=(--input_dir "${dir}/shards/${number}"); done
    job "${dir}/collect_stats.log" python -m espnet2.bin.aggregate_stats_dirs "${parts[@]}" --output_dir "${dir}"
    rm -rf "${dir}/shards"
}

stats_shards() { # stats_shards TRAIN VALID: each has an utterance of both
    local lines count
    # none without a table, of which the collection itself complains
    lines=("$(sed -n '$=' "$1/text" 2>/dev/null)" "$(sed -n '$=' "$2/text" 2>/dev/null)")
    count=$(((lines[0] + stats_shard_utterances - 1) / stats_shard_utterances))
    echo $((count < lines[1] ? count : lines[1]))
}

cut_ids() { # cut_ids TABLE OUTPUT COUNT: its ids in COUNT files of one size, OUTPUT.1 and so on
    awk -v count="$3" -v lines="$(wc -l <"$1")" -v output="$2" \
        '{print $1 >(output "." (int((NR - 1) * count / lines) + 1))}' "$1"
}

stage_3() {
    [ -n "${train_set}" ] || { log "no --train_set: nothing to do"; return; }
    local raw dir overrides=() pretrained adapted valid="${dumpdir}/raw/${valid_set}"
    raw=$(asr_train_dir)
    if [ "${unit_kind}" = llm ]; then need llm; fi
    once units "${raw}/text" "${llm}" "${lexicon}" --makes "${datadir}/token_list" -- \
        job "${datadir}/token_list/log/make_units.log" python -m freeze_omni.bin.make_units \
        --text "${raw}/text" --kind "${unit_kind}" --llm "${llm}" \
        --min_count "${unit_min_count}" --size "${nbpe}" --output "${datadir}/token_list" ${lexicon:+--lexicon "${lexicon}"}
    if adapts_encoder; then
        # The decoder that was published with the encoder hears people through it as it is.
        train "$(folder_of frontend)" frontend 1.0_frontend "${encoder}" -- --encoder "${encoder}" \
            --train_dir "${raw}" --valid_dir "${valid}" ${transcriber:+--model as_published=true}
    fi
    dump_feats "${raw}" --augment true
    dump_feats "${valid}" --in_use true
    take_pretrained
    dir=$(stats_dir)
    if [ -z "${tag}" ] || [[ "${dir}" == *"/${mine}"* ]]; then read_overrides encoder; fi
    once "${dir#"${expdir}/"}" "${raw}" "${valid}" "${datadir}/token_list" "${encoder}" "${adapted[@]}" \
        "${conf}/$(encoder_conf).yaml" "${overrides[@]}" -- \
        collect_stats "${dir}" "${overrides[@]}"
}
