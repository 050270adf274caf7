# Shared by all stages: messages, checks, the owner of running work, and the rule that finished work is skipped.

# Options that a caller of single stages need not set; s2s.sh sets all.
: "${tag:=}" "${mine:=}" "${encoder:=}" "${decode_conf:=${conf:-conf}/decode.yaml}" "${result_notes:=}" "${record:=false}"
: "${pack_args:=}" "${decode_args:=}" "${decode:=asr qa states codec tts latency duplex}" "${seed:=777}" "${tts:=}" "${lexicon:=}"
: "${shards:=}" "${audio_format:=wav}"
: "${answers:=}" "${answers_url:=}" "${answers_model:=}" "${answers_opts:=}"
: "${ngpu:=0}" "${nj:=2}" "${nthreads:=2}" "${inference_nj:=1}" "${gpu_inference:=false}" "${device:=}" "${llm_dtype:=}" "${llm_gguf:=}" "${num_nodes:=1}"

log() { echo -e "$(date '+%Y-%m-%dT%H:%M:%S') (${FUNCNAME[1]:-main}) $*"; }
die() { echo "s2s.sh: error: $*" >&2; exit 1; }
elapsed() { printf '%dm%02ds' $((SECONDS / 60)) $((SECONDS % 60)); }
aside_s=0 # seconds of a stage that do not count as its own (see `uncounted`)
# `set -e` ends the run at the first failure; this says what failed and how to resume.
current_work=
stage_now='' stage_start=0
report_failure() {
    local code=$?
    end_owned
    note_unfinished
    if ((code != 0)) && [ -n "${current_work}" ]; then
        echo "s2s.sh: ${current_work} failed, as said above. Fix the problem and rerun the same command:" \
            "finished work is kept" >&2
    fi
}
trap report_failure EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
banner() { log "==== $* ==== (elapsed $(elapsed))"; }

# need OPTION...: each must have a value.
need() {
    local name
    for name in "$@"; do
        [ -n "${!name}" ] || die "--${name} is empty: set it in run.sh or on the command line (see --help)"
    done
}

# owned COMMAND...: run it in a process group of its own, which ends with this shell, even if that is killed.
owned_group=
owned() {
    local code=0
    set -m # gives the group
    {
        set +m
        trap - EXIT HUP INT TERM
        watch_owner >/dev/null 2>&1 &
        # shellcheck disable=SC2064
        trap "kill -KILL $! 2>/dev/null || true" EXIT
        "$@"
    } </dev/null &
    owned_group=$!
    set +m
    wait "${owned_group}" || code=$?
    kill -TERM -- "-${owned_group}" 2>/dev/null || true # what it left
    owned_group=
    return "${code}"
}

watch_owner() { # end this process group when the run has gone
    local count=0 never
    if [ -n "${lock_fd}" ]; then exec {lock_fd}>&-; fi
    exec {never}<> <(:) # nothing comes: to read from it is to sleep, without a process
    trap '' TERM
    while kill -0 $$; do
        read -r -t 0.5 -u "${never}" || true
        if ((count++ % 20 == 0)); then sign_lock; fi
    done
    kill -TERM 0
    read -r -t 3 -u "${never}" || true
    kill -KILL 0
}

end_owned() { # the group has five seconds
    local tries
    [ -n "${owned_group}" ] || return 0
    kill -TERM -- "-${owned_group}" 2>/dev/null || true
    for ((tries = 0; tries < 50; tries++)); do
        if [ -z "$(pgrep -g "${owned_group}" -r D,R,S)" ]; then return; fi
        sleep 0.1
    done
    kill -KILL -- "-${owned_group}" 2>/dev/null || true
}

# A piece of work has a lock, which all its processes hold. The file says whose it is: machine, process, time of the last
# sign of life (as not all shared disks know locks), and a sum of the inputs.
lock_fd='' lock_file='' lock_sum=
sign_lock() { if [ -n "${lock_file}" ]; then echo "${HOSTNAME} $$ ${EPOCHSECONDS} ${lock_sum}" >"${lock_file}"; fi; }

# take_lock NAME PRINT: wait for another run that does the same work; if its inputs are others, stop.
take_lock() {
    local host process seconds sum busy tries=0 said=false
    lock_file="${expdir}/.stages/${1//\//_}.lock"
    lock_sum=$(cksum <<<"$2" | tr ' ' -)
    exec {lock_fd}<>"${lock_file}"
    while true; do
        busy=false
        flock -n "${lock_fd}" || busy=true
        read -r host process seconds sum <"${lock_file}" || host=''
        if [ -n "${host}" ] && [ "${host}" != "${HOSTNAME}" ] && ((EPOCHSECONDS - seconds < 60)); then busy=true; fi
        "${busy}" || break
        if [ -n "${host}" ] && { [ "${host}" != "${HOSTNAME}" ] || ps -p "${process}" >/dev/null; }; then
            [ "${sum}" = "${lock_sum}" ] ||
                die "$1: process ${process} on ${host} works on it with other inputs: wait until it ends, or end it"
            "${said}" || log "$1: process ${process} on ${host} works on it; waiting"
            said=true
        elif ((tries++ == 20)); then
            log "$1: processes of a run that has ended still work on it; waiting"
        fi
        sleep 0.5
    done
    sign_lock
}

release_lock() {
    : >"${lock_file}"
    exec {lock_fd}>&-
    lock_fd='' lock_file='' lock_sum=
}

# ask_python WORD...: what freeze_omni/bin/stages.py answers.
toolkit=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../../.." && pwd)
ask_python() {
    local own="${toolkit}/tools/venv/bin/python"
    if [ ! -x "${own}" ]; then own=python; fi
    PYTHONPATH="${toolkit}${PYTHONPATH:+:${PYTHONPATH}}" "${own}" -m freeze_omni.bin.stages "$@"
}

first_missing() {
    local path
    for path in "$@"; do
        if [ ! -e "${path}" ]; then echo "${path}"; return; fi
    done
}

# changed_inputs STAMP PRINT: words of the inputs that differ.
changed_inputs() {
    diff "$1" - <<<"$2" | sed -n 's/^[<>] "\(.*\)".*/\1/p' | sort -u | head -n 6 | paste -sd ' ' || true
}

# once NAME INPUT... [--makes PATH...] -- COMMAND...: run COMMAND unless it succeeded before with the same inputs and
# its outputs (${expdir}/NAME by default) still exist. Inputs are each INPUT and each word of COMMAND; a file or folder
# stands for its content (freeze_omni/data/fingerprint.py). What COMMAND reads or uses without naming it must be an
# INPUT. Work that was killed is resumed by the command itself, which may look at `work_changed`: whether that work had
# other inputs. If an input changed, the old folder ${expdir}/NAME is renamed, never deleted. A tag takes what the
# untagged run made as it is. Do not use this in a condition: that would switch `set -e` off.
once() {
    local name inputs=() makes=() command stamp print
    read_work "$@"
    stamp="${expdir}/.stages/${name//\//_}"
    if [[ "${name}" != "${mine}"* ]] && [ -z "$(first_missing "${makes[@]}")" ] && [ -e "${stamp}.done" ]; then
        log "${name}: shared with the untagged run"
        work_skipped=true
        return
    fi
    print=$(printf '%s\0' "${inputs[@]}" "${command[@]}" | print_inputs)
    if ! is_done; then do_work; fi
}

# What `once` is made of; its variables are known here.

read_work() {
    name=$1
    shift
    while [ "$1" != "--" ] && [ "$1" != "--makes" ]; do inputs+=("$1"); shift; done
    if [ "$1" = "--makes" ]; then shift; else makes=("${expdir}/${name}"); fi
    while [ "$1" != "--" ]; do makes+=("$1"); shift; done
    shift
    command=("$@")
}

print_inputs() { # of words from standard input, each ended by a zero: fingerprints of what they name
    ask_python inputs --files "${#inputs[@]}" --seen "${expdir}/.stages/seen" --made "${makes[@]}"
}

is_done() {
    local gone
    gone=$(first_missing "${makes[@]}")
    [ "$(cat "${stamp}.done" 2>/dev/null)" = "${print}" ] || return 1
    if [ -n "${gone}" ]; then
        log "${name}: ${gone} no longer exists, so it is made again"
        return 1
    fi
    log "${name}: nothing changed, skipped"
    work_skipped=true
}

do_work() {
    take_lock "${name}" "${print}"
    if ! is_done; then # another run may have done it
        begin_work
        owned "${command[@]}"
        current_work=
        echo "${print}" >"${stamp}.done"
    fi
    release_lock
}

begin_work() {
    local aside what
    work_changed=false
    if [ -e "${stamp}.begun" ] && [ "$(cat "${stamp}.begun")" != "${print}" ]; then
        work_changed=true
        what=$(changed_inputs "${stamp}.begun" "${print}")
        log "${name}: inputs changed: ${what}"
    fi
    if [ -d "${expdir}/${name}" ] && [ "$(cat "${stamp}.begun" 2>/dev/null)" != "${print}" ]; then
        aside="${expdir}/${name}.$(date +%Y%m%d-%H%M%S)"
        log "${name}: the old folder is kept as ${aside}"
        mv "${expdir}/${name}" "${aside}"
    fi
    rm -f "${stamp}.done"
    echo "${print}" >"${stamp}.begun"
    work_done=true
    current_work=${name}
}

# Seconds that a stage took when it last did its work; RESULTS.md adds them up. If a part of the work was done before,
# they count only if they exceed the number on record. Runs that ended in the middle of it count, too.
note_time() {
    local file="${expdir}/${mine}.stages/seconds.$1" part="${expdir}/${mine}.stages/unfinished.$1" sum
    sum=$(($2 + $(cat "${part}" 2>/dev/null || echo 0)))
    if "${work_done}" && { ! "${work_skipped}" || ((sum > $(cat "${file}" 2>/dev/null || echo 0))); }; then
        echo "${sum}" >"${file}"
    fi
    rm -f "${part}"
}

# stage_now, stage_start: of the stage under way, empty between stages.
note_unfinished() {
    local part
    if [ -z "${stage_now}" ] || ! "${work_done}"; then return 0; fi
    part=${expdir}/${mine}.stages/unfinished.${stage_now}
    if "${work_changed}"; then rm -f "${part}"; fi
    echo $(($(date +%s) - stage_start - aside_s + $(cat "${part}" 2>/dev/null || echo 0))) >"${part}"
}

# uncounted COMMAND...: what only some runs do, as test sets of others, takes no part in the seconds of the stage.
uncounted() {
    local start
    start=$(date +%s)
    "$@"
    aside_s=$((aside_s + $(date +%s) - start))
}

# first_sound DIR: the file of its first utterance; the path may have blanks.
first_sound() { sed -n '1s/^[^ \t]*[ \t]*//p' "$1/wav.scp"; }
