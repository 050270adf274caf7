# Stage 4: the frozen LLM answers each question itself; answers are spoken, scenes composed and labelled.

stage_4() {
    [ -n "${dialogue_conf}" ] || { log "no --dialogue_conf: nothing to do"; return; }
    need llm
    local set rejection judged=() sets=("${dumpdir}/dialogue")
    # Without rejection the judge only scores: the dialogues do not depend on it.
    rejection=$(python -m freeze_omni.bin.stages key "${dialogue_conf}" rejection)
    if [ -n "${judge}" ] && [ -n "${rejection}" ]; then judged=(--judge "${judge}"); fi
    for set in ${dialogue_train_set} ${dialogue_valid_set} ${qa_test_set} ${further_qa_sets} ${spoken_test_set} \
        ${scene_test_set}; do
        sets+=("${dumpdir}/dialogue/${set}")
    done
    once dialogue "${dialogue_conf}" "${llm}" "${datadir}" --makes "${sets[@]}" -- \
        job "${dumpdir}/dialogue/log/make_dialogue.log" "${threads[@]}" python -m freeze_omni.bin.make_dialogue \
        --config "${dialogue_conf}" --data "${datadir}" --output "${dumpdir}/dialogue" --llm "${llm}" --nj "${nj}" "${judged[@]}"
    prepare_outside_sets # here, so that hours of training do not end in a complaint
}
