# Stages 11 to 14: decode and score on held-out material, pack one folder, talk to it.

# pack_model ADAPTER FOLDER [options]: join the trained parts into one folder.
pack_model() {
    local adapter=$1 folder=$2 voice
    shift 2
    voice=$(awk 'NR == 1 {print $2}' "${dumpdir}/raw/${tts_valid_set}/wav.scp")
    job "${folder}.log" "${threads[@]}" python -m freeze_omni.bin.pack --output "${folder}" --llm "${llm}" \
        --units "${datadir}/token_list" --voice "${voice}" --system "${system_prompt}" \
        --parts "$(averaged "1.2_adapter_${adapter}"):encoder,ctc,adapter" \
        "$(averaged "1.3_dialogue_${adapter}"):prompt,state_head" \
        "$(averaged 2.1_codec):codec" "$(averaged 2.3_prefix):speech_decoder" "$@"
}

# decode_model ADAPTER ROOT: everything the default model is scored by; of the others what hears.
decode_model() {
    local adapter=$1 root=$2 sets=() set
    for set in ${test_sets}; do sets+=("${dumpdir}/raw/${set}"); done
    local voice=()
    if [ "${adapter}" = "${adapters%% *}" ]; then voice=(--tts "${dumpdir}/dialogue/${spoken_test_set}"); fi
    job "${root}/decode.log" "${threads[@]}" python -m freeze_omni.bin.decode_all --model "${expdir}/system_${adapter}" \
        --root "${root}" --config "${conf}/decode.yaml" --seed "${seed}" --threads "${nthreads}" \
        --asr "${sets[@]}" --qa "${dumpdir}/dialogue/${qa_test_set}" \
        --scenes "${dumpdir}/dialogue/${scene_test_set}" "${voice[@]}"
}

stage_11() {
    need llm qa_test_set scene_test_set spoken_test_set
    local adapter
    for adapter in ${adapters}; do
        once "system_${adapter}" "$(averaged "1.3_dialogue_${adapter}")" "$(averaged 2.1_codec)" \
            "$(averaged 2.3_prefix)" "${system_prompt}" -- \
            pack_model "${adapter}" "${expdir}/system_${adapter}" --link_llm
        once "decode_${adapter}" "${conf}/decode.yaml" "${expdir}/system_${adapter}" -- \
            decode_model "${adapter}" "${expdir}/decode_${adapter}"
    done
}

score_models() {
    local adapter roots=() packs=() toy=() judged=() curves
    for adapter in ${adapters}; do
        roots+=("${adapter}=${expdir}/decode_${adapter}")
        packs+=("${adapter}=${expdir}/system_${adapter}")
    done
    if [ "$(basename "${conf}")" = tiny ]; then toy=(--toy); fi
    if [ -n "${judge}" ]; then judged=(--judge "${judge}"); fi
    job "${expdir}/score.log" "${threads[@]}" python -m freeze_omni.bin.score --root "${roots[@]}" --model "${packs[@]}" \
        --output "${results}" --scale "$(basename "${conf}")" "${toy[@]}" "${judged[@]}" \
        --config "${conf}/decode.yaml" --stage_seconds "${expdir}/.stages" --seed "${seed}" \
        --fact "llm=$(basename "${llm}")" "data=${local_data_opts:-as given}"
    tail -n 12 "${expdir}/score.log" | grep -v '^#' || true
    curves=("${expdir}"/[12].[123]_*/)
    job "${expdir}/results.log" python -m freeze_omni.bin.results --results "${results}" \
        --output "$(dirname "${results}")/../$(results_file)" --title "Results of $(basename "$(dirname "${PWD}")")" \
        --root "${expdir}/decode_${adapters%% *}" --curves "${curves[@]}"
}

# A toy's figures never stand in RESULTS.md.
results_file() {
    if [ "$(basename "${conf}")" = tiny ]; then echo "${expdir}/RESULTS.md"; else echo RESULTS.md; fi
}

stage_12() {
    local adapter roots=()
    for adapter in ${adapters}; do roots+=("${expdir}/decode_${adapter}/decode.log"); done
    once score "${conf}/decode.yaml" "${judge}" "${roots[@]}" -- score_models
}

stage_13() {
    once pack "${results}" "${expdir}/system_${adapters%% *}" -- pack_model "${adapters%% *}" "${expdir}/pack" \
        --results "$(results_file)"
}

stage_14() {
    local question=${talk_input}
    if "${serve}"; then
        log "freeze-omni serve --model ${expdir}/pack   (Ctrl-C ends it)"
        "${threads[@]}" python -m freeze_omni.bin.main serve --model "${expdir}/pack" --threads "${nthreads}"
        return
    fi
    if [ -z "${question}" ]; then
        question=$(awk 'NR == 1 {print $2}' "${dumpdir}/dialogue/${qa_test_set}/wav.scp")
    fi
    mkdir -p "${expdir}/talk"
    log "freeze-omni answer --model ${expdir}/pack --input ${question} --output ${expdir}/talk/answer.wav --stream"
    local code=0
    "${threads[@]}" python -m freeze_omni.bin.main answer --model "${expdir}/pack" --input "${question}" \
        --output "${expdir}/talk/answer.wav" --stream --threads "${nthreads}" || code=$?
    if ((code == 3)) && [ "$(basename "${conf}")" = tiny ]; then
        log "a toy may have nothing to say"
    elif ((code != 0)); then
        return "${code}"
    fi
}
