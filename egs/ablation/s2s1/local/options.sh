# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by run.sh: defaults that follow from its other options, as absolute paths: the rows run in the mini recipe.
. "${MAIN_ROOT}/egs/TEMPLATE/s2s1/stages/00_common.sh" # owned
mini=$(realpath "${mini}")
suffix=$([ "${scale}" = mini ] || echo "_${scale}")
mini_exp=$(realpath -m "${mini_exp:-${mini}/exp${suffix}}")
mini_dump=$(realpath -m "${mini_dump:-${mini}/dump${suffix}}")
mini_data=$(realpath -m "${mini_data:-${mini}/data${suffix}}")
reference=$(realpath -m "data${suffix}/reference")
decode=$(realpath conf/decode.yaml)
if [ "${scale}" = tiny ]; then decode=$(realpath "${mini}/conf/tiny/decode.yaml"); fi
more=()
if [ "${judge}" = none ]; then more=(--judge ""); elif [ -n "${judge}" ]; then more=(--judge "${judge}"); fi
if [ -n "${llm}" ]; then more+=(--llm "${llm}"); fi
if "${dry_run}"; then more+=(--dry_run true); fi

check_rows() { # before any work
    local name
    for name in ${rows//,/ }; do
        grep -q "^row ${name} " "${row_file}" ||
            { echo "run.sh: no row '${name}' in ${row_file}" >&2; exit 1; }
    done
}

# row NAME ABOUT OPTION...: run one row, if it is chosen, and note it for the table.
row() {
    local name=$1 about=$2
    shift 2
    printf '%s\t%s\n' "${name}" "${about}" >>"${table}"
    [[ -z "${rows}" || ",${rows}," == *",${name},"* ]] || return 0
    echo "==== Row ${name}: ${about}"
    # The last one of two equal options counts.
    if ! owned "${mini}/run.sh" --scale "${scale}" --tag "${name}" --stage 3 --stop_stage 12 --skip_stages 4 --seed "${seed}" \
        --ngpu "${ngpu}" --nthreads "${nthreads}" --expdir "${mini_exp}" --dumpdir "${mini_dump}" \
        --datadir "${mini_data}" --decode_conf "${decode}" --adapters ctc --decode qa "${more[@]}" "$@"; then
        failed+=("${name}")
    fi
}
