# Shared by all stages: messages, checks, and the rule that finished work is skipped.

log() { echo -e "$(date '+%Y-%m-%dT%H:%M:%S') (${FUNCNAME[1]:-main}) $*"; }
die() { echo "s2s.sh: error: $*" >&2; exit 1; }
elapsed() { printf '%dm%02ds' $((SECONDS / 60)) $((SECONDS % 60)); }
# `set -e` ends the run at the first failure; this says what failed and how to resume.
current_work=
report_failure() {
    local code=$?
    if ((code != 0)) && [ -n "${current_work}" ]; then
        echo "s2s.sh: ${current_work} failed (see its log, above). Fix the problem and rerun the same command:" \
            "finished work is kept" >&2
    fi
}
trap report_failure EXIT
banner() { log "==== $* ==== (elapsed $(elapsed))"; }

# need OPTION...: each must have a value.
need() {
    local name
    for name in "$@"; do
        [ -n "${!name}" ] || die "--${name} is empty: set it in run.sh or on the command line (see --help)"
    done
}

# Fingerprint of words and files: contents, but names, sizes and times for a folder and for a file over 256 MB.
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
# its outputs (${expdir}/NAME by default) still exist. Work that was killed is resumed by the command itself. Do not use
# it in a condition: that would switch `set -e` off. If an input changed, the old folder ${expdir}/NAME is renamed, never
# deleted. A tag takes what the untagged run made as it is.
once() {
    local name=$1 inputs=() makes=() stamp print aside gone
    shift
    while [ "$1" != "--" ] && [ "$1" != "--makes" ]; do inputs+=("$1"); shift; done
    if [ "$1" = "--makes" ]; then shift; else makes=("${expdir}/${name}"); fi
    while [ "$1" != "--" ]; do makes+=("$1"); shift; done
    shift
    stamp="${expdir}/.stages/${name//\//_}"
    gone=$(first_missing "${makes[@]}")
    if [[ "${name}" != "${mine}"* ]] && [ -z "${gone}" ] && [ -e "${stamp}.done" ]; then
        log "${name}: shared with the untagged run"
        work_skipped=true
        return
    fi
    print=$(fingerprint "${inputs[@]}"; printf '%s\n' "$@" | sha256sum | cut -c1-32)
    if [ "$(cat "${stamp}.done" 2>/dev/null)" = "${print}" ]; then
        if [ -z "${gone}" ]; then
            log "${name}: nothing changed, skipped"
            work_skipped=true
            return
        fi
        log "${name}: ${gone} no longer exists, so it is made again"
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

# Seconds that a stage took when it last did its work; RESULTS.md adds them up. If a part of the work was done before,
# they count only if they exceed the number on record.
note_time() {
    local file="${expdir}/${mine}.stages/seconds.$1"
    if "${work_done}" && { ! "${work_skipped}" || (($2 > $(cat "${file}" 2>/dev/null || echo 0))); }; then
        echo "$2" >"${file}"
    fi
}

# queue RUNNER LOG COMMAND...: run it through the queue with a log, and show the end of the log if it fails.
queue() {
    local runner=$1 file=$2
    shift 2
    mkdir -p "$(dirname "${file}")"
    log "log: ${file}"
    # shellcheck disable=SC2086
    if ! ${runner} "${file}" "$@"; then
        tail -n 15 "${file}" >&2
        return 1
    fi
}

job() { queue "${decode_cmd}" "$@"; } # job LOG COMMAND...
