# How work is started: one job or an array of them, on the CPU or on a GPU, with the resources that it asks for. How many
# jobs share the work changes nothing in its result (freeze_omni/data/parts.py).

# queue RUNNER LOG COMMAND...: run it through the queue with a log, and show its error and the fix if it fails.
queue() {
    local runner=$1 file=$2
    shift 2
    mkdir -p "$(dirname "${file}")"
    log "log: ${file}"
    # shellcheck disable=SC2086
    if ! ${runner} "${file}" "$@"; then
        show_failure "$(failed_log "${runner}" "${file}")" "$@"
        return 1
    fi
}

# failed_log RUNNER LOG: of an array the log of the first job that did not end well.
failed_log() {
    local number last=${1##*JOB=1:} file=$2
    if [[ "$1" = *JOB=1:* ]]; then
        for ((number = 1; number <= ${last%% *}; number++)); do
            file=${2/JOB/${number}}
            grep -qs '^# Ended (code 0)' "${file}" || break
        done
    fi
    echo "${file}"
}

# job LOG COMMAND...: one job, of up to --nthreads threads or --nj processes.
job() { queue "${decode_cmd} --num-threads $((nj > nthreads ? nj : nthreads))" "$@"; }

# array RUNNER JOBS LOG COMMAND...: a map over utterances in JOBS jobs, each with `--part` and a log of its own, in as many
# turns as it takes, since some work needs what other jobs made. What they made is merged by COMMAND without `--part`.
array() {
    local runner=$1 jobs=$2 file=${3%.log} turn number left
    shift 3
    for ((turn = 1; turn <= 50; turn++)); do
        queue "${runner} JOB=1:${jobs}" "${file}.JOB.log" "$@" --part "JOB/${jobs}"
        left=false
        for ((number = 1; number <= jobs; number++)); do
            if grep -q '^left to the next turn' "${file}.${number}.log"; then left=true; fi
        done
        "${left}" || return 0
    done
}

# prepare LOG COMMAND...: a map that takes --nj: on this machine in processes of one job; on a cluster in an array of --nj
# jobs, each of one thread, and a job that merges.
prepare() {
    local file=$1
    shift
    if ((nj > 1)) && ! here "${decode_cmd}"; then
        array "${decode_cmd} --num-threads 1" "${nj}" "${file}" "$@" --nj 1
    fi
    job "${file}" "$@" --nj "${nj}"
}

# infer LOG COMMAND...: a map through a network: --inference_nj jobs, each with a GPU if --gpu_inference says so, and one
# that merges, and does what is timed. One job does all.
infer() {
    local file=$1 runner="${decode_cmd} --num-threads ${nthreads}" command
    shift
    command=("${threads[@]}" "$@" --device "$(inference_device)")
    if "${gpu_inference}"; then runner="${cuda_cmd} --gpu 1"; fi
    if ((inference_nj > 1)); then array "${runner}" "${inference_nj}" "${file}" "${command[@]}"; fi
    queue "${runner}" "${file}" "${command[@]}"
}

inference_device() {
    if [ -n "${device}" ]; then echo "${device}"; elif "${gpu_inference}"; then echo cuda; else echo cpu; fi
}

here() { [[ "${1%% *}" = *run.pl ]]; } # here RUNNER: whether its jobs run on this machine
