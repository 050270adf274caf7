# Stage 4: the frozen LLM answers each question itself; answers are spoken, scenes composed and labelled.

stage_4() {
    [ -n "${dialogue_conf}" ] || { log "no --dialogue_conf: nothing to do"; return; }
    need llm
    local set from words rejection judged=() answered=() spoken=() sets=("${dumpdir}/dialogue")
    # Without rejection the judge only scores: the dialogues do not depend on it.
    rejection=$(ask_python key "${dialogue_conf}" rejection)
    if [ -n "${judge}" ] && [ -n "${rejection}" ]; then judged=(--judge "${judge}"); fi
    if [ -n "${answers}" ]; then answered=(--answers "${answers}"); fi
    if [ -n "${answers_url}" ]; then answered=(--answers_url "${answers_url}" --answers_model "${answers_model}"); fi
    if [ -n "${llm_dtype}" ]; then answered+=(--llm_dtype "${llm_dtype}"); fi
    if [ -n "${tts}" ]; then spoken=(--tts "${tts}"); fi
    for set in ${dialogue_train_set} ${dialogue_valid_set} ${qa_test_set} ${further_qa_sets} ${spoken_test_set} \
        ${scene_test_set}; do
        sets+=("${dumpdir}/dialogue/${set}")
    done
    from=$(ask_python sources "${dialogue_conf}")
    mapfile -t from <<<"${from}"
    split_words "${answers_opts}"
    once dialogue "${from[@]/#/${datadir}/}" "${dialogue_conf}" "${llm}" "${judged[@]}" "${answered[@]}" \
        --makes "${sets[@]}" -- make_dialogues "${judged[@]}" "${answered[@]}" "${words[@]}" "${spoken[@]}"
    uncounted prepare_outside_sets # here, so that hours of training do not end in a complaint
}

# make_dialogues OPTION...: an LLM that answers here, and the judge, do their part by themselves if they have a GPU or
# several jobs: what they found is kept, and the rest needs neither.
make_dialogues() {
    local log="${dumpdir}/dialogue/log"
    local command=(python -m freeze_omni.bin.make_dialogue --config "${dialogue_conf}" --data "${datadir}"
        --output "${dumpdir}/dialogue" --llm "${llm}" "$@")
    if ((inference_nj > 1)) || [ "$(inference_device)" != cpu ]; then
        if [ -z "${answers}${answers_url}" ] || [[ " $* " = *" --judge "* ]]; then
            infer "${log}/answers.log" "${command[@]}" --until answers
        fi
        if [[ " $* " = *" --judge "* ]]; then
            prepare "${log}/speech.log" "${threads[@]}" "${command[@]}" --until speech
            infer "${log}/judged.log" "${command[@]}" --until judged
        fi
    fi
    prepare "${log}/make_dialogue.log" "${threads[@]}" "${command[@]}"
}
