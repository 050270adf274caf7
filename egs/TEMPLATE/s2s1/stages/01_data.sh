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

make_data() { # make_data OPTION...
    local/data.sh --data "${datadir}" --nj "${nj}" "$@"
    validate_sets
}

# corpora: what db.sh, or the environment, says about the corpora that local/data.sh names; a folder stands for its content.
corpora() {
    local name
    [ -f db.sh ] || return 0
    for name in $(sed -n 's/^\([A-Z0-9_]*\)=.*/\1/p' db.sh); do
        if grep -qw "${name}" local/data.sh; then printf '%s\n' "${name}=${!name:-}" "${!name:-}"; fi
    done
}

# A local/data.sh that lets the LLM write or answer (its option --llm) is told which.
writes_with_llm() { [ -n "${llm}" ] && grep -q -e '--llm)' -e '^llm=' local/data.sh; }

stage_1() {
    local set words from sets=("${datadir}")
    for set in $(role_sets asr 2>/dev/null) $(role_sets tts); do sets+=("${datadir}/${set}"); done
    mapfile -t from < <(corpora)
    split_words "${local_data_opts}"
    if writes_with_llm; then words+=(--llm "${llm}"); fi
    once data local "${from[@]}" --makes "${sets[@]}" -- make_data "${words[@]}"
}
