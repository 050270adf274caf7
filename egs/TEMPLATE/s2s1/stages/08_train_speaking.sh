# Stages 8 to 10: the paper's 2.1, 2.2 and 2.3, speaking with the frozen LLM's words and hidden states.

# The codec whose tokens are spoken: of the model that is started from, or of stage 2.1.
codec_of() { if [ -n "${init_model}" ]; then echo "${init_model}"; else averaged 2.1_codec; fi; }

dump_codec() { # dump_codec <data dir> <output dir>
    job "$2/log/dump.log" "${threads[@]}" python -m freeze_omni.bin.codec_dump \
        --checkpoint "$(codec_of)" --data_dir "$1" --output_dir "$2"
}

dump_once() { # dump_once <set> <data dir>: where the codec or the sounds have changed
    local tokens="${dumpdir}/codec/$1"
    once "codec_$1" "$(codec_of)" "$2/wav.scp" --makes "${tokens}" -- dump_codec "$2" "${tokens}"
}

# The spoken answers of a dialogue set as a data directory of their own.
answer_dir() { echo "${dumpdir}/dialogue/$1/answers"; }

make_answer_dir() {
    local dialogue="${dumpdir}/dialogue/$1" dir
    dir=$(answer_dir "$1")
    mkdir -p "${dir}"
    cp "${dialogue}/answer_wav.scp" "${dir}/wav.scp"
    awk '{print $1, "answer"}' "${dir}/wav.scp" >"${dir}/utt2spk"
    filter_scp.pl "${dir}/wav.scp" "${dialogue}/answer" >"${dir}/answer"
    filter_scp.pl "${dir}/wav.scp" "${dialogue}/text" >"${dir}/text"
    rm -f "${dir}/history" # an empty table is taken for a broken one
    if grep -qs . "${dialogue}/history"; then
        filter_scp.pl "${dir}/wav.scp" "${dialogue}/history" >"${dir}/history"
    fi
}

# All speech of the output voice that may be trained on: the set of the recipe and the training dialogues' answers,
# each sound once: one answer replies to many questions, and each of these is there in several voices.
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

# Both of them, where what they are made of has changed.
join_speaking_sets() {
    local set dialogue raw="${dumpdir}/raw/${tts_train_set}"
    for set in ${dialogue_train_set} ${dialogue_valid_set}; do
        dialogue="${dumpdir}/dialogue/${set}"
        once "answers_${set}" "${dialogue}/answer_wav.scp" "${dialogue}/answer" "${dialogue}/text" \
            --makes "$(answer_dir "${set}")" -- make_answer_dir "${set}"
    done
    if [ -n "${dialogue_train_set}" ]; then
        once "raw_$(basename "$(speaking_train_dir)")" "${raw}/wav.scp" "${raw}/text" \
            "$(answer_dir "${dialogue_train_set}")/wav.scp" "$(answer_dir "${dialogue_train_set}")/answer" \
            --makes "$(speaking_train_dir)" -- make_speaking_train_dir
    fi
}

# The codec of stage 2.1: trained, or one of another library.
make_codec() { # make_codec <train dir> <valid dir>
    if [ -n "${codec}" ]; then
        once 2.1_codec "${codec}" "${codec_conf}" -- job "${expdir}/2.1_codec/wrap.log" \
            python -m freeze_omni.bin.wrap_codec --codec "${codec}" ${codec_conf:+--config "${codec_conf}"} \
            --output "${expdir}/2.1_codec"
    else
        once 2.1_codec "${conf}/2.1_codec.yaml" "$1/wav.scp" -- \
            train_part 2.1_codec codec 2.1_codec --train_dir "$1" --valid_dir "$2"
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
time_texts() { # time_texts <train set>
    local set data=("${dumpdir}/raw/$1" "${dumpdir}/raw/${tts_valid_set}") texts=(text text)
    local tokens=("${dumpdir}/codec/$1" "${dumpdir}/codec/${tts_valid_set}")
    for set in ${dialogue_train_set} ${dialogue_valid_set}; do
        data+=("$(answer_dir "${set}")") texts+=(answer) tokens+=("${dumpdir}/codec/${set}")
    done
    once durations "${conf}/2.2_speech_decoder.yaml" "${tokens[@]/%//tokens}" "${llm}" --makes "${tokens[@]}" -- \
        job "${dumpdir}/codec/log/time_text.log" "${threads[@]}" python -m freeze_omni.bin.time_text \
        --config "${conf}/2.2_speech_decoder.yaml" --llm "${llm}" --nj "${nj}" \
        --data_dir "${data[@]}" --text "${texts[@]}" --token_dir "${tokens[@]}"
}

stage_9() {
    [ -n "${tts_train_set}" ] || { log "no --tts_train_set: nothing to do"; return; }
    [ -n "${llm}${dialogue_train_set}" ] || { log "no --llm: the speech decoder is left out"; return; }
    need llm
    local train valid="${dumpdir}/codec/${tts_valid_set}"
    train=$(basename "$(speaking_train_dir)")
    time_texts "${train}"
    once 2.2_speech_decoder "${conf}/2.2_speech_decoder.yaml" "${dumpdir}/codec/${train}/tokens" "${llm}" -- \
        train_part 2.2_speech_decoder speech_decoder 2.2_speech_decoder --llm "${llm}" \
        --train_dir "${dumpdir}/codec/${train}" "${dumpdir}/raw/${train}" \
        --valid_dir "${valid}" "${dumpdir}/raw/${tts_valid_set}"
}

stage_10() {
    [ -n "${tts_train_set}" ] && [ -n "${dialogue_train_set}" ] ||
        { log "no --tts_train_set or no --dialogue_train_set: nothing to do"; return; }
    local before listens taken=() more=() train="${dumpdir}/codec/${dialogue_train_set}" valid="${dumpdir}/codec/${dialogue_valid_set}"
    before=$(averaged 2.2_speech_decoder)
    if [ -n "${init_model}" ]; then # go on with its prefix, around its LLM
        before=${init_model} more=(--model prefix_from_ar=false)
    else
        need llm
        more=(--llm "${llm}")
        listens=1.3_dialogue_${adapters%% *}
        if [ -n "$(tuning_of "${listens}")" ]; then taken+=("$(averaged "${listens}"):llm_tuning"); fi
    fi
    once 2.3_prefix "${conf}/2.3_prefix.yaml" "${before}" "${taken[@]%:*}" "${train}/tokens" "${llm}" -- \
        train_part 2.3_prefix prefix 2.3_prefix --system "${system_prompt}" \
        --init_parts "${before}:speech_decoder" "${taken[@]}" "${more[@]}" \
        --train_dir "${train}" "${dumpdir}/dialogue/${dialogue_train_set}/answers" \
        --valid_dir "${valid}" "${dumpdir}/dialogue/${dialogue_valid_set}/answers"
}
