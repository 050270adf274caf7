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

# The YAML of stage 1.1, without its suffix: with --encoder it is that of a pretrained encoder.
encoder_conf() { echo "1.1_encoder${encoder:+_pretrained}"; }

# encoder_model: what features depend on in the YAML of 1.1, which are not computed anew for another learning rate.
encoder_model() {
    local file
    file=${conf}/$(encoder_conf).yaml
    echo "model: in ${file}, sum $(awk '/^[^ #]/ {inside = /^model:/} inside' "${file}" | cksum)"
}

# adapts_encoder: whether the pretrained encoder is adapted to how it is used (1.0), as the scale configures it.
adapts_encoder() { [ -n "${encoder}" ] && [ -f "${conf}/1.0_frontend.yaml" ]; }

# take_pretrained: put the options for the pretrained encoder into the array `pretrained`, and the checkpoint of its stage
# 1.0, if it has one, into `adapted`.
take_pretrained() {
    local parts
    pretrained=() adapted=()
    if [ -z "${encoder}" ]; then return; fi
    pretrained=(--encoder "${encoder}")
    if ! adapts_encoder; then return; fi
    take_parts encoder
    pretrained+=(--init_parts "${parts[@]}")
    adapted=("${parts[@]%:*}")
}

# heard DIR: the data directory that listening is trained on in place of DIR: with --encoder, that of its features.
heard() { if [ -n "${encoder}" ]; then echo "$(dump_of feats encoder)/${1#"${dumpdir}/"}"; else echo "$1"; fi; }

# dump_feats DIR [OPTION...]: what the pretrained encoder makes of the sound of DIR, if it or the sound has changed.
dump_feats() {
    [ -n "${encoder}" ] || return 0
    local dir=$1 feats name overrides pretrained adapted
    feats=$(heard "${dir}")
    shift
    read_overrides encoder
    take_pretrained
    name=$(of_dump "$(dump_of feats encoder)")feats_$(basename "${dir}")
    once "${name}" "${encoder}" "${adapted[@]}" "$(encoder_model)" "${dir}" "${overrides[@]}" \
        --makes "${feats}/feats.scp" -- dump_feats_part "${dir}" "${feats}" "${pretrained[@]}" "$@" "${overrides[@]}"
}

dump_feats_part() { # dump_feats_part <data dir> <output dir> OPTION...
    local dir=$1 feats=$2
    shift 2
    if "${work_changed}"; then rm -f "${feats}"/feats.* "${feats}"/utt2num_frames*; fi # of a killed run, by another encoder
    infer "${feats}/log/dump_feats.log" python -m freeze_omni.bin.dump_feats \
        --config "${conf}/$(encoder_conf).yaml" --data_dir "${dir}" --output_dir "${feats}" --seed "${seed}" "$@"
}

# transcribes ADAPTER: whether its words are those of --transcriber.
transcribes() { [ -n "${transcriber:-}" ] && [ "$1" = words ]; }

# dump_said DIR: what the transcriber says of the sound of DIR, into the folder of its features.
dump_said() {
    local dir=$1 said overrides pretrained adapted
    said=$(heard "${dir}")
    read_overrides encoder
    take_pretrained
    once "$(of_dump "$(dump_of feats encoder)")said_$(basename "${dir}")" "${encoder}" "${transcriber}" "${llm}" \
        "${adapted[@]}" "$(encoder_model)" "${dir}" "${transcriber_language}" "${overrides[@]}" \
        --makes "${said}/said" -- dump_said_part "${dir}" "${said}" "${pretrained[@]}" "${overrides[@]}"
}

dump_said_part() { # dump_said_part <data dir> <output dir> OPTION...
    local dir=$1 said=$2
    shift 2
    if "${work_changed}"; then rm -f "${said}"/said "${said}"/said.*; fi
    if ((inference_nj == 1)) && [ "$(inference_device)" = cpu ]; then # steps too small for threads: a job for each of them
        local inference_nj=${nthreads} threads=(env OMP_NUM_THREADS=1 MKL_NUM_THREADS=1)
        local nthreads=1
    fi
    infer "${said}/log/dump_said.log" python -m freeze_omni.bin.dump_said --config "${conf}/$(encoder_conf).yaml" \
        --transcriber "${transcriber}" --language "${transcriber_language}" --llm "${llm}" \
        --data_dir "${dir}" --output_dir "${said}" "$@"
}

# transcribed_dir DIR: the training utterances that the transcriber hears, of those of DIR.
transcribed_dir() { if ((transcribed > 0)); then echo "$1_transcribed"; else echo "$1"; fi; }

join_sets() { # join_sets TO FROM...: also writes utt2corpus, the set of each utterance
    local joined=$1 dir
    shift
    job "${joined}/log/combine.log" combine_data.sh --skip_fix true "${joined}" "$@" # stage 2 left nothing to fix
    for dir in "$@"; do awk -v set="$(basename "${dir}")" '{print $1, set}' "${dir}/utt2spk"; done |
        LC_ALL=C sort >"${joined}/utt2corpus"
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
            join_sets "${joined}" "${dirs[@]}"
    fi
}
