# Stages 5 to 7: the paper's 1.1, 1.2 and 1.3, listening with a frozen LLM.

# train_part NAME TASK CONFIG [options]: one training into ${expdir}/NAME; continues where it was killed.
train_part() {
    local name=$1 task=$2 config=$3 devices=()
    shift 3
    if ((num_nodes > 1)); then
        die "--num_nodes ${num_nodes}: start each node with torchrun around freeze_omni.bin.train (docs/hardware.md)"
    fi
    if ((ngpu > 1)); then devices=(--multiprocessing_distributed true); fi
    # shellcheck disable=SC2086
    log "log: ${expdir}/${name}/train.log (curves: ${expdir}/${name}/images)"
    ${cuda_cmd} --gpu "${ngpu}" "${expdir}/${name}/run.log" "${threads[@]}" \
        python -m freeze_omni.bin.train "${task}" --config "${conf}/${config}.yaml" \
        --output_dir "${expdir}/${name}" --ngpu "${ngpu}" --seed "${seed}" --num_threads "${nthreads}" \
        "${devices[@]}" "$@"
}

averaged() { echo "${expdir}/$1/${inference_model}.pth"; }

# ",llm_tuning" where the training NAME learned something beside the LLM: who takes its parts takes that, too.
tuning_of() {
    if grep -qsE '^ +llm_tuning:$' "${expdir}/$1/config.yaml"; then echo ",llm_tuning"; fi
}

stage_5() {
    [ -n "${train_set}" ] || { log "no --train_set: nothing to do"; return; }
    local train valid="${dumpdir}/raw/${valid_set}"
    train=$(asr_train_dir)
    once 1.1_encoder "${conf}/1.1_encoder.yaml" "${train}/text" "${datadir}/token_list/units.json" -- \
        train_part 1.1_encoder encoder 1.1_encoder --train_dir "${train}" --valid_dir "${valid}" \
        --units "${datadir}/token_list" --cmvn "${expdir}/stats/train/feats_stats.npz"
}

stage_6() {
    [ -n "${train_set}" ] || { log "no --train_set: nothing to do"; return; }
    [ -n "${llm}${dialogue_train_set}" ] || { log "no --llm: the adapter is left out"; return; }
    need llm
    local adapter name before
    before=$(averaged 1.1_encoder)
    for adapter in ${adapters}; do
        name="1.2_adapter_${adapter}"
        once "${name}" "${conf}/${name}.yaml" "${before}" "${llm}" -- \
            train_part "${name}" adapter "${name}" --init_parts "${before}:encoder,ctc" \
            --units "${datadir}/token_list" --llm "${llm}" \
            --train_dir "$(asr_train_dir)" --valid_dir "${dumpdir}/raw/${valid_set}"
    done
}

stage_7() {
    [ -n "${dialogue_train_set}" ] || { log "no --dialogue_train_set: nothing to do"; return; }
    local adapter name before train="${dumpdir}/dialogue/${dialogue_train_set}" valid="${dumpdir}/dialogue/${dialogue_valid_set}"
    if [ -n "${init_model}" ]; then
        # the LLM is the packed model's own, with the chat template that it was trained with
        once 1.3_dialogue_init "${conf}/1.3_dialogue.yaml" "${init_model}" "${train}/states" "${train}/answer" -- \
            train_part 1.3_dialogue_init dialogue 1.3_dialogue --init_parts "${init_model}:encoder,adapter" \
            --system "${system_prompt}" --train_dir "${train}" --valid_dir "${valid}"
        return
    fi
    need llm
    for adapter in ${adapters}; do
        name="1.3_dialogue_${adapter}"
        before=$(averaged "1.2_adapter_${adapter}")
        once "${name}" "${conf}/1.3_dialogue.yaml" "${before}" "${llm}" "${train}/states" "${train}/answer" -- \
            train_part "${name}" dialogue 1.3_dialogue --init_parts "${before}:encoder,ctc,adapter$(tuning_of "1.2_adapter_${adapter}")" \
            --units "${datadir}/token_list" --llm "${llm}" --system "${system_prompt}" \
            --train_dir "${train}" --valid_dir "${valid}"
    done
}
