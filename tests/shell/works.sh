# Sourced by bash -c in test_inputs.py: prints each piece of work of a recipe with its words, and does none.
# works TEMPLATE [OPTION=VALUE...]
set -euo pipefail
template=$1
shift
# The options as s2s.sh has them, with their defaults, and what it derives from them.
eval "$(sed -n '/^# General/,/^template=/{/^[a-z_]*=/p}' "${template}/s2s.sh" | grep -v '^template=')"
for given in "$@"; do printf -v "${given%%=*}" %s "${given#*=}"; done
eval "$(sed '1,/^template=/d' "${template}/s2s.sh" | grep -E '^(decode_conf|mine|results|threads)=')"
. "${template}/cmd.sh"
. ./db.sh
for file in "${template}"/stages/*.sh; do
    # shellcheck source=/dev/null
    . "${file}"
done
ask_python() { # each question once, as the answers do not change
    local file
    file="asked/$(printf '%s\0' "$@" | cksum | tr ' ' -)"
    if [ ! -e "${file}" ]; then
        mkdir -p asked
        PYTHONPATH=${toolkit} "${PYTHON}" -m freeze_omni.bin.stages "$@" >"${file}"
    fi
    cat "${file}"
}
once() { # as the real one, but the work is printed
    local name inputs=() makes=() command
    read_work "$@"
    printf '%s\0' "${name}" "${#inputs[@]}" "${#makes[@]}" "${#command[@]}" "${makes[@]}" "${inputs[@]}" "${command[@]}" >&3
}
log() { :; }
answer_file() { :; }
work_done=true work_skipped=false
mkdir -p "${expdir}/.stages" "${expdir}/${mine}.stages"
for number in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do "stage_${number}" >/dev/null; done 3>&1
