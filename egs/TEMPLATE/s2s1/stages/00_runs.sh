# Training folders: those of the run, and those of a second configuration (--tag), which shares what does not differ.
# Which stage builds on which is known to freeze_omni/stages.py; this asks it.

# overridden: the training stages that have an option --<stage>_args; all of them with --all.
overridden() {
    local given
    for given in $(compgen -A variable -X '!*_args'); do
        if [ "${given}" = pack_args ] || [ "${given}" = decode_args ]; then continue; fi
        if [ "${1:-}" = --all ] || [ -n "${!given}" ]; then echo "${given%_args}"; fi
    done
}

ask_stages() { # ask_stages folder|parts STAGE [ADAPTER]
    local changed
    mapfile -t changed < <(overridden)
    ask_python "$1" "$2" --exp "${expdir}" --adapter "${3:-${adapters%% *}}" \
        --checkpoint "${inference_model}" --tag "${tag}" --init "${init_model:-}" --changed "${changed[@]}"
}

folder_of() { ask_stages folder "$@"; } # folder_of STAGE [ADAPTER]: its training folder, relative to ${expdir}

checkpoint_of() { # checkpoint_of STAGE [ADAPTER]: the one that later stages take
    local folder
    folder=$(folder_of "$@")
    echo "${expdir}/${folder}/${inference_model}.pth"
}

# take_parts STAGE|pack [ADAPTER]: put the parts that it takes over, PATH:PART,PART each, into the array `parts`.
take_parts() {
    local found
    found=$(ask_stages parts "$@")
    mapfile -t parts <<<"${found}"
}

# split_words TEXT: its words, with quotes as in the shell, into the array `words`.
split_words() {
    local found
    found=$(xargs -r printf '%s\n' <<<"$1") || die "cannot split into words: $1"
    words=()
    if [ -n "${found}" ]; then mapfile -t words <<<"${found}"; fi
}

# read_overrides NAME: put the words of the option --NAME_args into the array `overrides`.
read_overrides() {
    local given="$1_args"
    split_words "${!given:-}"
    overrides=("${words[@]}")
}

# train FOLDER TASK CONFIG INPUT... -- OPTION...: one training into ${expdir}/FOLDER, if it is not done, and not shared
# with the untagged run. CONFIG: a YAML in ${conf}, without its suffix.
train() {
    local folder=$1 task=$2 config="${conf}/$3.yaml" inputs=() overrides
    shift 3
    while [ "$1" != "--" ]; do inputs+=("$1"); shift; done
    shift
    if [ -n "${tag}" ] && [[ "${folder}" != "${mine}"* ]]; then
        log "${folder}: shared with the untagged run"
        return
    fi
    if [ -n "${llm_dtype}" ] && [ "${task}" != encoder ] && [ "${task}" != codec ]; then set -- "$@" --llm_dtype "${llm_dtype}"; fi
    read_overrides "${task}"
    once "${folder}" "${inputs[@]}" "seed=${seed}" -- \
        train_part "${folder}" "${task}" "${config}" "$@" "${overrides[@]}"
}

# train_part FOLDER TASK CONFIG OPTION...: resumes where it was killed. On several nodes srun starts it on each, as
# espnet2.bin.launch does, and the processes meet by a file on the disk that they share.
train_part() {
    local folder=$1 task=$2 config=$3 runner="${cuda_cmd} --gpu ${ngpu}" devices=() launcher=() meeting
    shift 3
    if ((ngpu > 1 || num_nodes > 1)); then devices=(--multiprocessing_distributed true); fi
    if ((num_nodes > 1)); then
        mkdir -p "${expdir}/${folder}"
        meeting="$(realpath "${expdir}/${folder}")/.meeting"
        rm -f "${meeting}"
        runner+=" --nodes ${num_nodes} --ntasks-per-node 1"
        launcher=(srun --export=ALL)
        devices+=(--dist_launcher slurm --dist_init_method "file://${meeting}")
        if ((ngpu == 0)); then devices+=(--dist_backend gloo); fi
    fi
    log "curves: ${expdir}/${folder}/images"
    queue "${runner}" "${expdir}/${folder}/run.log" "${threads[@]}" \
        "${launcher[@]}" python -m freeze_omni.bin.train "${task}" --config "${config}" \
        --output_dir "${expdir}/${folder}" --ngpu "${ngpu}" --seed "${seed}" --num_threads "${nthreads}" \
        "${devices[@]}" "$@"
}

# Build every model on the meta device and print its parameters; of a tag, the models that it trains itself.
dry_run_models() {
    local name given options=()
    for name in $(overridden --all); do
        given="${name}_args"
        options+=("--${name}_args=${!given}")
        if [ -n "${!given}" ]; then options+=(--changed "${name}"); fi
    done
    # shellcheck disable=SC2086
    owned ask_python dry_run --conf "${conf}" --work "${expdir}/${mine}dry_run" --llm "${llm}" \
        --encoder "${encoder}" --encoder_conf "$(encoder_conf)" \
        --adapters ${adapters} --tag "${tag}" --init "${init_model:-}" "${options[@]}"
}

# The training folders as they are now: `once` renames old ones to a name that ends in a date.
training_folders() {
    local folder
    for folder in "${expdir}/${mine}"[12].[123]_*/; do
        [[ "${folder}" =~ \.[0-9]{8}-[0-9]{6}/$ ]] || echo "${folder}"
    done
}
