# Stage 1: the corpus as Kaldi directories, data/<set>/, which are checked before any other work.

role_sets() { # the sets of a role, as this recipe names them
    case $1 in
        asr) echo "$(asr_train_sets) ${valid_set} $(asr_test_sets)" ;;
        tts) echo "${tts_train_set} ${tts_valid_set} ${tts_test_set}" ;;
    esac
}

validate_sets() {
    local role set
    for role in asr tts; do
        for set in $(role_sets "${role}"); do
            validate_data_dir.sh --no-feats --role "${role}" "${datadir}/${set}"
        done
    done
}

make_data() {
    # shellcheck disable=SC2086
    local/data.sh --data "${datadir}" --nj "${nj}" ${local_data_opts}
    validate_sets
}

stage_1() {
    local set sets=("${datadir}")
    for set in $(role_sets asr 2>/dev/null) $(role_sets tts); do sets+=("${datadir}/${set}"); done
    once data local "${local_data_opts}" --makes "${sets[@]}" -- make_data
}
