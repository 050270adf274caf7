# Shared by all stages: messages, checks, and the rule that finished work is not done again.

log() { echo -e "$(date '+%Y-%m-%dT%H:%M:%S') (${FUNCNAME[1]:-main}) $*"; }
die() { echo "s2s.sh: error: $*" >&2; exit 1; }
elapsed() { printf '%dm%02ds' $((SECONDS / 60)) $((SECONDS % 60)); }
# `set -e` ends the run at the first failure; this says what failed and that it can be continued.
current_work=
report_failure() {
    local code=$?
    if ((code != 0)) && [ -n "${current_work}" ]; then
        echo "s2s.sh: ${current_work} failed (see the log named above). Mend it and run the same command again:" \
            "finished work is kept" >&2
    fi
}
trap report_failure EXIT
banner() { log "==== $* ==== (elapsed $(elapsed))"; }

# The option `name` must have a value: says who sets it.
need() {
    local name
    for name in "$@"; do
        [ -n "${!name}" ] || die "--${name} is empty: set it in run.sh or on the command line (see --help)"
    done
}

check_options() {
    [ -d "${conf}" ] || die "--conf ${conf}: no such folder; there is one for each scale under conf/"
    [ -z "${llm}" ] || [[ "${llm}" != /* && "${llm}" != .* ]] || [ -d "${llm}" ] ||
        die "--llm ${llm}: no such folder; give the folder of a transformers causal LM or a hub id"
    if [ -n "${dialogue_train_set}" ] && [ -z "${llm}" ] && ! "${dry_run}" && ((stop_stage >= 4)); then
        die "--llm is empty: from stage 4 on everything is around a frozen LLM. Give one, or end with --stop_stage 3"
    fi
    local free_kb
    mkdir -p "${expdir}" "${dumpdir}" || die "cannot make ${expdir} or ${dumpdir}: check permissions and disk"
    free_kb=$(df -Pk "${expdir}" | awk 'NR == 2 {print $4}')
    ((free_kb > 2000000)) ||
        die "only $((free_kb / 1024)) MB are free for ${expdir}: make room or move --expdir and --dumpdir"
}

# Fingerprint of files (contents; a folder, and a file over 256 MB, counts with names, sizes and times) and words.
fingerprint() {
    local item
    for item in "$@"; do
        if [ -d "${item}" ]; then
            (cd "${item}" && find -L . -name __pycache__ -prune -o -type f -printf '%p %s %T@\n' | sort)
        elif [ -f "${item}" ] && (($(wc -c <"${item}") > 256000000)); then
            find -L "${item}" -maxdepth 0 -printf '%p %s %T@\n'
        elif [ -f "${item}" ]; then
            sha256sum <"${item}"
        else
            echo "${item}"
        fi
    done | sha256sum | cut -c1-32
}

first_missing() {
    local path
    for path in "$@"; do
        if [ ! -e "${path}" ]; then echo "${path}"; return; fi
    done
}

# once NAME INPUT... [--makes PATH...] -- COMMAND...: run COMMAND unless it succeeded before with the same inputs and
# all that it makes (${expdir}/NAME, where nothing is named) is still there. Killed work is continued by the command
# itself. Not for use in a condition: that would switch `set -e` off. Where an input changed, the old folder
# ${expdir}/NAME is moved aside, never deleted.
once() {
    local name=$1 inputs=() makes=() stamp print aside gone
    shift
    while [ "$1" != "--" ] && [ "$1" != "--makes" ]; do inputs+=("$1"); shift; done
    if [ "$1" = "--makes" ]; then shift; else makes=("${expdir}/${name}"); fi
    while [ "$1" != "--" ]; do makes+=("$1"); shift; done
    shift
    stamp="${expdir}/.stages/${name//\//_}"
    print=$(fingerprint "${inputs[@]}"; printf '%s\n' "$@" | sha256sum | cut -c1-32)
    if [ "$(cat "${stamp}.done" 2>/dev/null)" = "${print}" ]; then
        gone=$(first_missing "${makes[@]}")
        if [ -z "${gone}" ]; then
            log "${name}: nothing changed, skipped"
            work_skipped=true
            return
        fi
        log "${name}: ${gone} is not there any more, so it is made again"
    fi
    if [ -d "${expdir}/${name}" ] && [ "$(cat "${stamp}.begun" 2>/dev/null)" != "${print}" ]; then
        aside="${expdir}/${name}.$(date +%Y%m%d-%H%M%S)"
        log "${name}: inputs changed, the old folder is kept as ${aside}"
        mv "${expdir}/${name}" "${aside}"
    fi
    rm -f "${stamp}.done"
    echo "${print}" >"${stamp}.begun"
    work_done=true
    current_work=${name}
    "$@"
    current_work=
    echo "${print}" >"${stamp}.done"
}

# Seconds a stage took, from the last time that it did its work: RESULTS.md adds them up. Where a part of the work was
# done before, they count only if they are more than what is noted.
note_time() {
    local file="${expdir}/.stages/seconds.$1"
    if "${work_done}" && { ! "${work_skipped}" || (($2 > $(cat "${file}" 2>/dev/null || echo 0))); }; then
        echo "$2" >"${file}"
    fi
}

# job LOG COMMAND...: run through the queue with a log, and show the log's end where it fails.
job() {
    local file=$1
    shift
    mkdir -p "$(dirname "${file}")"
    log "log: ${file}"
    # shellcheck disable=SC2086
    if ! ${decode_cmd} "${file}" "$@"; then
        tail -n 15 "${file}" >&2
        return 1
    fi
}


# Build every model of --conf on the meta device and print its parameters, for an LLM of width 896 and 5538 units.
dry_run_models() {
    local file task taken
    for file in "${conf}"/[12].[123]_*.yaml; do
        task=$(basename "${file}" .yaml)
        task=${task#*_}
        task=${task%%_c*}
        taken=()
        case ${task} in # the parts that a stage takes over, as they are configured
            adapter) taken=("${conf}/1.1_encoder.yaml:encoder,ctc") ;;
            dialogue) taken=("${conf}/1.1_encoder.yaml:encoder,ctc" "${conf}/1.2_adapter_${adapters%% *}.yaml:adapter") ;;
            prefix) taken=("${conf}/2.2_speech_decoder.yaml:speech_decoder") ;;
        esac
        echo "${file}:"
        python -m freeze_omni.bin.train "${task}" --config "${file}" --output_dir "${expdir}/dry_run" \
            --dry_run true --llm_size 896 --unit_size 5538 ${taken[@]:+--init_parts "${taken[@]}"}
    done
}
