# Stages 8 to 10: the paper's 2.1, 2.2 and 2.3, speaking with the frozen LLM's words and hidden states.

# The codec whose tokens are spoken: that of --init_model, or of stage 2.1.
codec_of() { if [ -n "${init_model}" ]; then echo "${init_model}"; else checkpoint_of codec; fi; }

# dump_of NAME STAGE...: where features or tokens are; a tag with its own training of one of these stages has its own.
dump_of() {
    local name=$1 one folder
    shift
    for one in "$@"; do
        folder=$(folder_of "${one}")
        if [ -n "${tag}" ] && [[ "${folder}" = "${mine}"* ]]; then
            echo "${dumpdir}/${mine}${name}"
            return
        fi
    done
    echo "${dumpdir}/${name}"
}

dump_codec() { # dump_codec <data dir> <output dir>
    if "${work_changed}"; then rm -rf "$2/parts"; fi # batches of a killed run, by another codec
    rm -f "${expdir}"/.stages/*durations.done        # which lie next to the tokens
    infer "$2/log/dump.log" python -m freeze_omni.bin.codec_dump \
        --checkpoint "$(codec_of)" --data_dir "$1" --output_dir "$2"
}

dump_once() { # dump_once <set> <data dir>: if the codec or the audio has changed
    local root tokens
    root=$(dump_of codec codec)
    tokens="${root}/$1"
    once "$(of_dump "${root}")codec_$1" "$(codec_of)" "$2/wav.scp" --makes "${tokens}" -- dump_codec "$2" "${tokens}"
}

of_dump() { if [[ "$1" = "${dumpdir}/tags/"* ]]; then echo "${mine}"; fi; } # of_dump <folder>: prefix of its work

# The durations of a tag's texts lie next to the tokens: link shared tokens into the tag's own folder.
link_tokens() { # link_tokens <folder> <set>
    local file shared
    shared=$(dump_of codec codec)/$2
    mkdir -p "$1/$2"
    for file in tokens voices speakers; do
        if [ -e "${shared}/${file}" ]; then ln -sfn "$(realpath "${shared}/${file}")" "$1/$2/${file}"; fi
    done
}

# The spoken answers of a dialogue set as a data directory.
answer_dir() { echo "${dumpdir}/dialogue/$1/answers"; }

make_answer_dir() {
    local dialogue="${dumpdir}/dialogue/$1" dir
    dir=$(answer_dir "$1")
    mkdir -p "${dir}"
    cp "${dialogue}/answer_wav.scp" "${dir}/wav.scp"
    awk '{print $1, "answer"}' "${dir}/wav.scp" >"${dir}/utt2spk"
    filter_scp.pl "${dir}/wav.scp" "${dialogue}/answer" >"${dir}/answer"
    filter_scp.pl "${dir}/wav.scp" "${dialogue}/text" >"${dir}/text"
    rm -f "${dir}/history" # an empty table would count as broken
    if grep -qs . "${dialogue}/history"; then
        filter_scp.pl "${dir}/wav.scp" "${dialogue}/history" >"${dir}/history"
        [ -s "${dir}/history" ] || rm "${dir}/history" # scenes without an answer have one, too
    fi
}

# All training speech of the output voice: the set of the recipe, and the answers of the training dialogues, each
# recording once, as one answer may belong to many questions, and each of these exists in several voices.
speaking_train_dir() { echo "${dumpdir}/raw/${tts_train_set}${dialogue_train_set:+_and_answers}"; }

make_speaking_train_dir() {
    local answers
    answers=$(answer_dir "${dialogue_train_set}")
    mkdir -p "${answers}/spoken"
    awk '{sound = $0; sub(/^[^ \t]+[ \t]+/, "", sound)} !said[sound]++' "${answers}/wav.scp" >"${answers}/spoken/wav.scp"
    filter_scp.pl "${answers}/spoken/wav.scp" "${answers}/utt2spk" >"${answers}/spoken/utt2spk"
    filter_scp.pl "${answers}/spoken/wav.scp" "${answers}/answer" >"${answers}/spoken/text"
    combine_data.sh "$(speaking_train_dir)" "${dumpdir}/raw/${tts_train_set}" "${answers}/spoken"
}

# Both of them, if their sources have changed.
join_speaking_sets() {
    local set dialogue raw="${dumpdir}/raw/${tts_train_set}"
    for set in ${dialogue_train_set} ${dialogue_valid_set}; do
        dialogue="${dumpdir}/dialogue/${set}"
        once "answers_${set}" "${dialogue}/answer_wav.scp" "${dialogue}/answer" "${dialogue}/text" "${dialogue}/history" \
            --makes "$(answer_dir "${set}")" -- make_answer_dir "${set}"
    done
    if [ -n "${dialogue_train_set}" ]; then
        once "raw_$(basename "$(speaking_train_dir)")" "${raw}" "$(answer_dir "${dialogue_train_set}")" \
            --makes "$(speaking_train_dir)" -- make_speaking_train_dir
    fi
}

# The codec of stage 2.1: trained, or one of another library.
make_codec() { # make_codec <train dir> <valid dir>
    local folder overrides source
    folder=$(folder_of codec)
    if [ -n "${codec}" ] && { [ -z "${tag}" ] || [[ "${folder}" = "${mine}"* ]]; }; then
        read_overrides codec
        source=${codec%%:*}
        once "${folder}" "${source//.//}.py" "${codec_conf}" -- job "${expdir}/${folder}/wrap.log" \
            python -m freeze_omni.bin.wrap_codec --codec "${codec}" ${codec_conf:+--config "${codec_conf}"} \
            --output "${expdir}/${folder}" "${overrides[@]}"
    else
        train "${folder}" codec 2.1_codec "$1/wav.scp" -- --train_dir "$1" --valid_dir "$2"
    fi
}

stage_8() {
    [ -n "${tts_train_set}" ] || { log "no --tts_train_set: nothing to do"; return; }
    local set dir train valid="${dumpdir}/raw/${tts_valid_set}"
    join_speaking_sets
    train=$(speaking_train_dir)
    if [ -z "${init_model}" ]; then make_codec "${train}" "${valid}"; fi
    for dir in "${train}" "${valid}"; do
        dump_once "$(basename "${dir}")" "${dir}"
    done
    for set in ${dialogue_train_set} ${dialogue_valid_set}; do
        dump_once "${set}" "$(answer_dir "${set}")"
    done
}

# When each row of a text is spoken, for all sets that the speech decoder learns from, together.
time_texts() { # time_texts <folder of tokens> <train set>
    local set overrides=() names=("$2" "${tts_valid_set}") texts=(text text)
    local data=("${dumpdir}/raw/$2" "${dumpdir}/raw/${tts_valid_set}") tokens
    for set in ${dialogue_train_set} ${dialogue_valid_set}; do
        data+=("$(answer_dir "${set}")") texts+=(answer) names+=("${set}")
    done
    tokens=("${names[@]/#/$1/}")
    if [ "$1" != "$(dump_of codec codec)" ]; then
        for set in "${names[@]}"; do link_tokens "$1" "${set}"; done
    fi
    if [ -z "${tag}" ] || [ -n "$(of_dump "$1")" ]; then read_overrides speech_decoder; fi
    once "$(of_dump "$1")durations" "${conf}/2.2_speech_decoder.yaml" "${tokens[@]/%//tokens}" "${llm}" \
        --makes "${tokens[@]}" -- \
        prepare "$1/log/time_text.log" "${threads[@]}" python -m freeze_omni.bin.time_text \
        --config "${conf}/2.2_speech_decoder.yaml" --llm "${llm}" \
        --data_dir "${data[@]}" --text "${texts[@]}" --token_dir "${tokens[@]}" "${overrides[@]}"
}

stage_9() {
    [ -n "${tts_train_set}" ] || { log "no --tts_train_set: nothing to do"; return; }
    [ -n "${llm}${dialogue_train_set}" ] || { log "no --llm: the speech decoder is skipped"; return; }
    need llm
    local set folder tokens
    set=$(basename "$(speaking_train_dir)")
    folder=$(folder_of speech_decoder)
    tokens=$(dump_of codec codec speech_decoder)
    time_texts "${tokens}" "${set}"
    train "${folder}" speech_decoder 2.2_speech_decoder "${tokens}/${set}/tokens" "${llm}" -- \
        --llm "${llm}" --train_dir "${tokens}/${set}" "${dumpdir}/raw/${set}" \
        --valid_dir "${tokens}/${tts_valid_set}" "${dumpdir}/raw/${tts_valid_set}"
}

# If 2.3 speaks segments of answers (`segments:`) and 2.2 needs no durations: those of the answers alone.
time_answers() { # time_answers <folder of tokens>
    local set sets=("${dialogue_train_set}" "${dialogue_valid_set}") data=()
    if [[ "$(python -m freeze_omni.bin.stages key "${conf}/2.3_prefix.yaml" model)" != *'"segments": {'* ]]; then return; fi
    for set in "${sets[@]}"; do data+=("$(answer_dir "${set}")"); done
    sets=("${sets[@]/#/$1/}")
    once "$(of_dump "$1")durations_answers" "${conf}/2.2_speech_decoder.yaml" "${sets[@]/%//tokens}" "${llm}" \
        --makes "${sets[@]/%//durations}" -- \
        job "$1/log/time_answers.log" "${threads[@]}" python -m freeze_omni.bin.time_text --always \
        --config "${conf}/2.2_speech_decoder.yaml" --llm "${llm}" --nj "${nj}" \
        --data_dir "${data[@]}" --text answer --token_dir "${sets[@]}"
}

stage_10() {
    [ -n "${tts_train_set}" ] && [ -n "${dialogue_train_set}" ] ||
        { log "no --tts_train_set or no --dialogue_train_set: nothing to do"; return; }
    local folder tokens parts more
    take_parts prefix
    folder=$(folder_of prefix)
    tokens=$(dump_of codec codec speech_decoder)
    if [ -n "${init_model}" ]; then # continue with its prefix, around its LLM
        more=(--model prefix_from_ar=false)
    else
        need llm
        more=(--llm "${llm}")
        time_answers "${tokens}"
    fi
    train "${folder}" prefix 2.3_prefix "${parts[@]%:*}" "${tokens}/${dialogue_train_set}/tokens" "${llm}" -- \
        --system "${system_prompt}" --init_parts "${parts[@]}" "${more[@]}" \
        --train_dir "${tokens}/${dialogue_train_set}" "${dumpdir}/dialogue/${dialogue_train_set}/answers" \
        --valid_dir "${tokens}/${dialogue_valid_set}" "${dumpdir}/dialogue/${dialogue_valid_set}/answers"
}
