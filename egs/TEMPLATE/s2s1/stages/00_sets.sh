# The sets of speech input: those that must exist, and those that a corpus may lack (--optional_*_sets).

# present SET...: those that stage 1 has made; logs which are left out.
present() {
    local set
    for set in "$@"; do
        if [ -s "${datadir}/${set}/wav.scp" ]; then
            echo "${set}"
        else
            log "${datadir}/${set}: missing, so the optional set ${set} is left out" >&2
        fi
    done
}

# shellcheck disable=SC2046,SC2086
asr_train_sets() { echo ${train_set} $(present ${optional_train_sets}); }
# shellcheck disable=SC2046,SC2086
asr_test_sets() { echo ${test_sets} $(present ${optional_test_sets}); }

# The prepared training directory of speech input: that of the only set, or of all sets, which stage 2 combines.
asr_train_dir() {
    local sets
    sets=$(asr_train_sets 2>/dev/null)
    echo "${dumpdir}/raw/${sets// /_and_}"
}

# The ids of the sets' utterances must differ.
join_train_sets() {
    local set joined dirs=()
    joined=$(asr_train_dir)
    for set in $(asr_train_sets 2>/dev/null); do
        dirs+=("${dumpdir}/raw/${set}")
    done
    if ((${#dirs[@]} > 1)); then
        once "raw_$(basename "${joined}")" --makes "${joined}" -- \
            job "${joined}/log/combine.log" combine_data.sh "${joined}" "${dirs[@]}"
    fi
}
