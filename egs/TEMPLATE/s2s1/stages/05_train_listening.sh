# Stages 5 to 7: the paper's 1.1, 1.2 and 1.3, listening with a frozen LLM.

stage_5() {
    [ -n "${train_set}" ] || { log "no --train_set: nothing to do"; return; }
    local folder stats data valid="${dumpdir}/raw/${valid_set}"
    data=$(asr_train_dir)
    folder=$(folder_of encoder)
    stats=$(stats_dir)
    train "${folder}" encoder "$(encoder_conf)" "${encoder}" "${data}/text" "${datadir}/token_list/units.json" -- \
        "${pretrained[@]}" --train_dir "$(heard "${data}")" --valid_dir "$(heard "${valid}")" \
        --units "${datadir}/token_list" --cmvn "${stats}/train/feats_stats.npz"
}

stage_6() {
    [ -n "${train_set}" ] || { log "no --train_set: nothing to do"; return; }
    [ -n "${llm}${dialogue_train_set}" ] || { log "no --llm: the adapter is skipped"; return; }
    need llm
    local adapter folder parts
    for adapter in ${adapters}; do
        folder=$(folder_of adapter "${adapter}")
        take_parts adapter "${adapter}"
        train "${folder}" adapter "1.2_adapter_${adapter}" "${parts[@]%:*}" "${llm}" -- \
            --init_parts "${parts[@]}" --units "${datadir}/token_list" --llm "${llm}" --system "${system_prompt}" \
            --train_dir "$(heard "$(asr_train_dir)")" --valid_dir "$(heard "${dumpdir}/raw/${valid_set}")"
    done
}

stage_7() {
    [ -n "${dialogue_train_set}" ] || { log "no --dialogue_train_set: nothing to do"; return; }
    local adapter folder parts
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
        train "${folder}" dialogue 1.3_dialogue "${parts[@]%:*}" "${llm}" "${data}/states" "${data}/answer" -- \
            --init_parts "${parts[@]}" --units "${datadir}/token_list" --llm "${llm}" --system "${system_prompt}" \
            --train_dir "$(heard "${data}")" --valid_dir "$(heard "${valid}")"
    done
}
