# Stage 4: the frozen LLM answers every question itself; questions and answers are spoken, scenes composed and labelled.

stage_4() {
    [ -n "${dialogue_conf}" ] || { log "no --dialogue_conf: nothing to do"; return; }
    need llm
    local judged=()
    # Elsewhere the judge only scores: another one does not make other dialogues.
    if [ -n "${judge}" ] && grep -q '^rejection:' "${dialogue_conf}"; then judged=(--judge "${judge}"); fi
    once dialogue "${dialogue_conf}" "${llm}" "${datadir}" -- job "${dumpdir}/dialogue/log/make_dialogue.log" \
        "${threads[@]}" python -m freeze_omni.bin.make_dialogue --config "${dialogue_conf}" --data "${datadir}" \
        --output "${dumpdir}/dialogue" --llm "${llm}" --nj "${nj}" "${judged[@]}"
}
