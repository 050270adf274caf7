# Stages 5 to 7: the paper's 1.1, 1.2 and 1.3, listening with a frozen LLM.

stage_5() {
    [ -n "${train_set}" ] || { log "no --train_set: nothing to do"; return; }
    local folder stats data pretrained adapted valid="${dumpdir}/raw/${valid_set}"
    take_pretrained
    data=$(asr_train_dir)
    folder=$(folder_of encoder)
    stats=$(stats_dir)
    train "${folder}" encoder "$(encoder_conf)" "${encoder}" "${adapted[@]}" "${data}/text" "${datadir}/token_list/units.json" -- \
        "${pretrained[@]}" --train_dir "$(heard "${data}")" --valid_dir "$(heard "${valid}")" \
        --units "${datadir}/token_list" --cmvn "${stats}/train/feats_stats.npz"
}

# answers_too ADAPTER: whether its stage 1.2 has `targets: both`, in its YAML or in --adapter_args.
answers_too() {
    [[ " ${adapter_args} " == *" targets=both "* ]] ||
        [[ "$(ask_python key "${conf}/1.2_adapter_$1.yaml" model)" == *'"targets": "both"'* ]]
}

# with_questions DATA: the directory that has its utterances, and answered questions.
with_questions() { echo "$(heard "$1")_and_questions"; }

# The answered questions of a dialogue set, whose text is what is said in them, next to utterances without an answer.
join_questions() { # join_questions TO DATA DIALOGUE
    local joined=$1 data=$2 dialogue=$3 name
    mkdir -p "${joined}"
    for name in wav.scp feats.scp said text utt2spk utt2num_samples utt2num_frames; do
        rm -f "${joined}/${name}"
        [ -f "${data}/${name}" ] && [ -f "${dialogue}/${name}" ] || continue
        { cat "${data}/${name}"; filter_scp.pl "${dialogue}/answer" "${dialogue}/${name}"; } |
            LC_ALL=C sort >"${joined}/${name}"
    done
    {
        if [ -f "${data}/utt2corpus" ]; then cat "${data}/utt2corpus"; else awk '{print $1, "speech"}' "${data}/text"; fi
        awk '{print $1, "questions"}' "${dialogue}/answer"
    } | LC_ALL=C sort >"${joined}/utt2corpus" # for corpus_weights
    cp "${dialogue}/answer" "${joined}/answer"
    rm -f "${joined}/history" # an empty table would count as broken
    if grep -qs . "${dialogue}/history"; then
        filter_scp.pl "${dialogue}/answer" "${dialogue}/history" >"${joined}/history"
        [ -s "${joined}/history" ] || rm "${joined}/history"
    fi
}

join_questions_once() { # join_questions_once DATA DIALOGUE
    local joined
    joined=$(with_questions "$1")
    once "$(of_dump "${joined}")questions_$(basename "$1")" "$(heard "$1")/said" "$(heard "$2")/said" --makes "${joined}" -- \
        join_questions "${joined}" "$(heard "$1")" "$(heard "$2")"
}

# hear_words TRAIN VALID: for stage 6, what the transcriber says of these sets, of the first as far as --transcribed goes.
hear_words() {
    local train
    train=$(transcribed_dir "$1")
    if [ "${train}" != "$1" ]; then
        once "transcribed_$(basename "$1")" "$1" "${transcribed}" --makes "${train}" -- \
            job "${train}/log/subset.log" subset_data_dir.sh "$1" "${transcribed}" "${train}"
        dump_feats "${train}" --in_use true
    fi
    dump_said "${train}"
    dump_said "$2"
}

stage_6() {
    [ -n "${train_set}" ] || { log "no --train_set: nothing to do"; return; }
    [ -n "${llm}${dialogue_train_set}" ] || { log "no --llm: the adapter is skipped"; return; }
    need llm
    local adapter folder parts words said train_dir valid_dir data="${dumpdir}/dialogue/${dialogue_train_set}"
    local valid="${dumpdir}/dialogue/${dialogue_valid_set}"
    for adapter in ${adapters}; do
        folder=$(folder_of adapter "${adapter}")
        take_parts adapter "${adapter}"
        train_dir=$(asr_train_dir) valid_dir="${dumpdir}/raw/${valid_set}" words=() said=()
        if transcribes "${adapter}"; then
            hear_words "${train_dir}" "${valid_dir}"
            train_dir=$(transcribed_dir "${train_dir}") words=(--model adapter.words.transcribed=true)
        fi
        if answers_too "${adapter}"; then
            need dialogue_train_set dialogue_valid_set
            dump_feats "${data}"
            dump_feats "${valid}" --in_use true
            if transcribes "${adapter}"; then
                dump_said "${data}"
                dump_said "${valid}"
            fi
            join_questions_once "${train_dir}" "${data}"
            join_questions_once "${valid_dir}" "${valid}"
            train_dir=$(with_questions "${train_dir}") valid_dir=$(with_questions "${valid_dir}")
        else
            train_dir=$(heard "${train_dir}") valid_dir=$(heard "${valid_dir}")
        fi
        if [ -n "${words[*]}" ]; then said=("${transcriber}" "${train_dir}/said" "${valid_dir}/said"); fi
        train "${folder}" adapter "1.2_adapter_${adapter}" "${parts[@]%:*}" "${llm}" "${said[@]}" -- \
            --init_parts "${parts[@]}" --units "${datadir}/token_list" --llm "${llm}" --system "${system_prompt}" \
            --train_dir "${train_dir}" --valid_dir "${valid_dir}" "${words[@]}"
    done
}

stage_7() {
    [ -n "${dialogue_train_set}" ] || { log "no --dialogue_train_set: nothing to do"; return; }
    local adapter folder parts said
    local data="${dumpdir}/dialogue/${dialogue_train_set}" valid="${dumpdir}/dialogue/${dialogue_valid_set}"
    if [ -n "${init_model}" ]; then
        # The LLM is the packed model's own, with the chat template that it was trained with.
        take_parts dialogue
        train 1.3_dialogue_init dialogue 1.3_dialogue "${init_model}" "${data}/states" "${data}/answer" -- \
            --init_parts "${parts[@]}" \
            --system "${system_prompt}" --train_dir "${data}" --valid_dir "${valid}"
        return
    fi
    need llm
    dump_feats "${data}"
    dump_feats "${valid}" --in_use true
    for adapter in ${adapters}; do
        folder=$(folder_of dialogue "${adapter}")
        take_parts dialogue "${adapter}"
        said=()
        if transcribes "${adapter}"; then
            dump_said "${data}"
            dump_said "${valid}"
            said=("$(heard "${data}")/said" "$(heard "${valid}")/said")
        fi
        train "${folder}" dialogue 1.3_dialogue "${parts[@]%:*}" "${llm}" "${data}/states" "${data}/answer" "${said[@]}" -- \
            --init_parts "${parts[@]}" --units "${datadir}/token_list" --llm "${llm}" --system "${system_prompt}" \
            --train_dir "$(heard "${data}")" --valid_dir "$(heard "${valid}")"
    done
}
