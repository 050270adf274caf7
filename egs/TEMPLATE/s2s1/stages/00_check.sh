# Before any work: options that cannot be used, or that do not fit together, are told at once.

check_programs() {
    local name
    for name in flock pgrep ps perl awk xargs; do
        command -v "${name}" >/dev/null || die "no program ${name}: install it (Debian: util-linux, procps, perl, findutils)"
    done
}

check_options() {
    check_programs
    [ -d "${conf}" ] || die "--conf ${conf}: no such folder; conf/ has one for each scale"
    [[ "${tag}" =~ ^[A-Za-z0-9_.-]*$ ]] || die "--tag ${tag}: use letters, digits, and the characters _ . -"
    [ -z "${tag}" ] || [ -z "${init_model}" ] || die "--tag and --init_model exclude each other: use another --expdir"
    if "${record}" && [ "$(basename "${conf}")" = tiny ]; then die "--record: the scores of a toy are not recorded"; fi
    check_devices
    check_llm_options
    check_init_model
    check_listening
    check_transcriber
    local free_kb
    mkdir -p "${expdir}" "${dumpdir}" || die "cannot create ${expdir} or ${dumpdir}: check permissions and disk"
    free_kb=$(df -Pk "${expdir}" | awk 'NR == 2 {print $4}')
    ((free_kb > 2000000)) ||
        die "only $((free_kb / 1024)) MB are free for ${expdir}: free some space or move --expdir and --dumpdir"
}

check_devices() { # where work runs
    local name
    for name in nj inference_nj nthreads num_nodes; do
        [[ "${!name}" =~ ^[1-9][0-9]*$ ]] || die "--${name} ${!name}: give a number from 1"
    done
    [[ "${ngpu}" =~ ^[0-9]+$ ]] || die "--ngpu ${ngpu}: give a number; 0 trains on the CPU"
    if ((num_nodes > 1)) && [[ "${cuda_cmd%% *}" != *slurm.pl ]]; then
        die "--num_nodes ${num_nodes}: cuda_cmd in cmd.sh is '${cuda_cmd}', which knows one machine: take slurm.pl," \
            "or start the training with torchrun (docs/stages.md)"
    fi
    if "${gpu_inference}" && [ -n "${device}" ] && [[ "${device}" != cuda* ]]; then
        die "--gpu_inference true and --device ${device} exclude each other: give one"
    fi
    if [[ "${device}" = cuda* ]] && ! "${gpu_inference}" && ! here "${decode_cmd}"; then
        die "--device ${device}: '${decode_cmd}' asks for no GPU: --gpu_inference true takes cuda_cmd, with --gpu 1"
    fi
    case ${llm_dtype} in
        '' | float32 | bfloat16 | float16) ;;
        *) die "--llm_dtype ${llm_dtype}: expected float32, bfloat16 or float16; int8 is for packing:" \
            "--pack_args \"--llm_dtype int8\"" ;;
    esac
}

check_llm_options() {
    [ -z "${llm}" ] || [[ "${llm}" != /* && "${llm}" != .* ]] || [ -d "${llm}" ] ||
        die "--llm ${llm}: no such folder; give the folder of a transformers causal LM or a hub id"
    if [ -n "${llm_revision}" ]; then
        [ -n "${llm}" ] || die "--llm_revision ${llm_revision}: give the hub id that it belongs to as --llm"
        [ ! -e "${llm}" ] || die "--llm_revision ${llm_revision}: --llm ${llm} is a folder, which has none"
        llm="${llm}@${llm_revision}" # all commands take it so
    fi
    if [ -n "${llm_gguf}" ]; then
        [ -f "${llm_gguf}" ] || die "--llm_gguf ${llm_gguf}: no such file; give a GGUF file that was made of --llm"
        if "${gpu_inference}" || [[ "${device}" = cuda* ]]; then
            die "--llm_gguf ${llm_gguf}: llama.cpp computes on the CPU: give --llm_gguf '' on a GPU"
        fi
    fi
    case ${unit_kind} in
        llm | bpe | char) ;;
        word) [ -f "${lexicon}/words.tsv" ] || die "--unit_kind word: --lexicon '${lexicon}' has no words.tsv;" \
            "for English: --lexicon \$(tools/installers/get_lexicon_en.sh)" ;;
        *) die "--unit_kind ${unit_kind}: expected llm, bpe, char or word" ;;
    esac
    check_answers
    if [ -n "${llm}" ] || [ -n "${init_model}" ] || "${dry_run}"; then return; fi
    if [ -n "${dialogue_train_set}" ] && ((stop_stage >= 4)); then
        die "--llm is empty: stage 4 and later stages need a frozen LLM. Give one, or stop with --stop_stage 3"
    fi
    if [ -n "${train_set}" ] && [ "${unit_kind}" = llm ] && runs 3; then
        die "--llm is empty: --unit_kind llm takes its tokens. Give one, or --unit_kind bpe"
    fi
}

# A recipe of speech input alone scores checkpoints of 1.2, and those of `words` and `pool` leave the encoder to 1.1.
check_listening() {
    local name
    if [ -n "${dialogue_train_set}" ] || [ -z "${train_set}" ] || [ -z "${llm}" ] || ! runs 11; then return; fi
    for name in ${adapters}; do
        case ${name} in
            words | pool) die "--adapters ${name}: stage 11 scores it in a recipe with dialogues alone; give --stop_stage 10" ;;
        esac
    done
}

check_transcriber() { # whose words the adapter words sends
    [ -n "${transcriber}" ] || return 0
    [ -n "${encoder}" ] || die "--transcriber ${transcriber}: it is the decoder of --encoder: give that, too"
    [[ "${transcribed}" =~ ^[0-9]+$ ]] || die "--transcribed ${transcribed}: give a number of utterances, or 0 for all"
    if [[ " ${adapters} " != *" words "* ]]; then
        log "--transcriber: it is for the adapter words, and --adapters are ${adapters}: not used"
        transcriber=
    fi
}

check_answers() { # where the answers of stage 4 come from, if not from --llm
    [ -z "${answers}" ] || [ -z "${answers_url}" ] || die "--answers and --answers_url exclude each other: give one"
    [ -z "${answers}" ] || [ -f "${answers}" ] || die "--answers ${answers}: no such file"
    [[ -z "${answers_url}" || "${answers_url}" =~ ^https?:// ]] ||
        die "--answers_url ${answers_url}: give the base of an API, as http://127.0.0.1:8000/v1"
}

# A packed model brings encoder, adapter, CTC head and units, codec, speech decoder and LLM: what would train these
# again is skipped. `init` is the name of its adapter, so of the training folders and of the model.
check_init_model() {
    [ -n "${init_model}" ] || return 0
    [ -f "${init_model}/config.yaml" ] && [ -f "${init_model}/model.safetensors" ] ||
        die "--init_model ${init_model}: no packed model; give a folder that stage 13 or an import wrote"
    adapters=init
    skip_stages="${skip_stages} 3 5 6 9"
    if [ -z "${llm}" ] && [ -d "${init_model}/llm" ]; then llm="${init_model}/llm"; fi
    [ -n "${llm}" ] || [ -z "${dialogue_train_set}" ] || die "--llm is empty: give the LLM of --init_model ${init_model}"
}

runs() { # runs STAGE: whether its number is chosen
    (($1 >= stage && $1 <= stop_stage)) && [[ " ${skip_stages} " != *" $1 "* ]]
}

trainings() { # the training stages that have something to do
    if [ -n "${train_set}" ]; then
        if runs 3 && adapts_encoder; then echo frontend; fi
        if runs 5; then echo encoder; fi
        if runs 6 && [ -n "${llm}" ]; then echo adapter; fi
    fi
    if [ -n "${dialogue_train_set}" ] && runs 7; then echo dialogue; fi
    if [ -n "${tts_train_set}" ]; then
        if runs 8 && [ -z "${codec}${init_model}" ]; then echo codec; fi
        if runs 9 && [ -n "${llm}" ]; then echo speech_decoder; fi
        if runs 10 && [ -n "${dialogue_train_set}" ]; then echo prefix; fi
    fi
}

# Whether the LLM, the units, the configurations and the packed model fit together: builds each model without memory.
check_models() {
    local name given trained units="" options=("--unit_kind=${unit_kind}" "--tag=${tag}")
    mapfile -t trained < <(trainings)
    if ((${#trained[@]} == 0)) && { [ -z "${llm}" ] || ! { runs 3 || runs 4; }; }; then return; fi
    # shellcheck disable=SC2206
    options+=(--adapters ${adapters} --encoder "${encoder}" --encoder_conf "$(encoder_conf)")
    for name in $(overridden --all); do
        given="${name}_args"
        options+=("--${name}_args=${!given}")
        if [ -n "${!given}" ]; then options+=(--changed "${name}"); fi
    done
    if [ -n "${train_set}" ] && ! runs 3 && [ -f "${datadir}/token_list/units.json" ]; then
        units="${datadir}/token_list"
        options+=(--units "${units}")
    fi
    if [ -n "${codec_conf}" ]; then options+=(--codec_conf "${codec_conf}"); fi
    if [ -n "${dialogue_train_set}" ] && { runs 11 || runs 13; }; then options+=(--packs); fi
    once "${mine}check" "${conf}" "${llm}" "${encoder}" "${init_model}" "${units}" "${codec_conf}" \
        --makes "${expdir}/${mine}dry_run" -- check_fit "${inference_model}" --stages "${trained[@]}" "${options[@]}"
}

check_fit() { # check_fit CHECKPOINT [options]
    local checkpoint=$1
    shift
    mkdir -p "${expdir}/${mine}dry_run"
    python -m freeze_omni.bin.check_run --conf "${conf}" --work "${expdir}/${mine}dry_run" --llm "${llm}" \
        --exp "${expdir}" --checkpoint "${checkpoint}" --init "${init_model}" "$@"
}
