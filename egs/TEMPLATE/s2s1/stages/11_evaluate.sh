# Stages 11 to 14: decode and score on held-out material, pack one folder, talk to it.

# pack_model ADAPTER FOLDER [options]: join the trained parts into one folder.
pack_model() {
    local adapter=$1 folder=$2 voice parts overrides further=()
    shift 2
    if [ -f "${conf}/pack.yaml" ]; then further=(--config "${conf}/pack.yaml"); fi
    voice=$(first_sound "${dumpdir}/raw/${tts_valid_set}")
    take_parts pack "${adapter}"
    read_overrides pack
    if transcribes "${adapter}"; then further+=(--transcriber "${transcriber}" --language "${transcriber_language}"); fi
    job "${folder}.log" "${threads[@]}" python -m freeze_omni.bin.pack --output "${folder}" --llm "${llm}" \
        --units "${datadir}/token_list" --voice "${voice}" --system "${system_prompt}" \
        --parts "${parts[@]}" ${init_model:+--base "${init_model}"} "${further[@]}" \
        ${llm_gguf:+--llm_gguf "${llm_gguf}"} "$@" "${overrides[@]}"
}

wanted() { [[ " ${decode} " == *" $1 "* ]]; } # wanted SUBJECT: whether stage 11 decodes it

# decode_model ADAPTER ROOT: the default model is decoded for all scores, the others only for those of listening.
decode_model() {
    local adapter=$1 root=$2 set overrides sets=() subjects=() voice=()
    for set in $(asr_test_sets 2>/dev/null); do sets+=("${dumpdir}/raw/${set}"); done
    if [ "${adapter}" = "${adapters%% *}" ]; then
        voice=(--cascade --tts "${dumpdir}/dialogue/${spoken_test_set}")
        if ((duplex_scenes > 0)) && wanted duplex; then voice+=(--duplex "${dumpdir}/duplex_scenes"); fi
        if [ -n "${judge}" ]; then voice+=(--judge "${judge}"); fi
    fi
    read -r -a subjects <<<"${decode}"
    read_overrides decode
    infer "${root}/decode.log" python -m freeze_omni.bin.decode all \
        --model "${expdir}/${mine}system_${adapter}" \
        --root "${root}" --config "${decode_conf}" --seed "${seed}" --threads "${nthreads}" \
        --only "${subjects[@]}" --asr "${sets[@]}" --qa "${dumpdir}/dialogue/${qa_test_set}" \
        --scenes "${dumpdir}/dialogue/${scene_test_set}" "${voice[@]}" "${overrides[@]}"
}

# decoded_sets ADAPTER: put the test sets that it is decoded on into the array `sets`.
decoded_sets() {
    local set
    sets=()
    if wanted asr; then
        for set in $(asr_test_sets 2>/dev/null); do sets+=("${dumpdir}/raw/${set}"); done
    fi
    if wanted qa || wanted latency; then sets+=("${dumpdir}/dialogue/${qa_test_set}"); fi
    if wanted states; then sets+=("${dumpdir}/dialogue/${scene_test_set}"); fi
    [ "$1" = "${adapters%% *}" ] || return 0
    if wanted tts || wanted codec; then sets+=("${dumpdir}/dialogue/${spoken_test_set}"); fi
    if ((duplex_scenes > 0)) && wanted duplex; then sets+=("${dumpdir}/duplex_scenes"); fi
}

# outside_dirs: the prepared directories of --outside_sets.
outside_dirs() {
    local item
    for item in ${outside_sets}; do
        if [[ "${item}" == *=* ]]; then item=${item%%=*}; fi
        item=${item%/}
        echo "${dumpdir}/outside/${item##*/}"
    done
}

check_outside_sets() {
    local item
    for item in ${outside_sets}; do
        [ -e "${item#*=}" ] || die "--outside_sets ${item}: no such file or folder"
    done
}

# Others' test sets as data directories, without the questions that are in the training texts; shows which these are.
prepare_outside_sets() {
    local set training=() speaking=() paths=() folder="${dumpdir}/outside"
    if [ -z "${outside_sets}" ]; then return; fi
    for set in $(asr_train_sets 2>/dev/null) ${valid_set}; do training+=("${datadir}/${set}"); done
    for set in ${tts_train_set} ${tts_valid_set}; do speaking+=("${datadir}/${set}"); done
    for set in ${dialogue_train_set} ${dialogue_valid_set}; do training+=("${dumpdir}/dialogue/${set}"); done
    for set in ${outside_sets}; do paths+=("${set#*=}"); done
    # shellcheck disable=SC2086
    once outside_sets "${decode_conf}" "${paths[@]}" "${training[@]/%//text}" "${speaking[@]/%//text}" \
        --makes "${folder}/sources.jsonl" -- \
        job "${folder}/prepare.log" python -m freeze_omni.bin.outside_sets ${outside_sets} --output "${folder}" \
        --config "${decode_conf}" --training "${training[@]}" --speaking "${speaking[@]}" --nj "${nj}"
    grep '^warning' "${folder}/prepare.log" || true
}

# decode_further ADAPTER LOG SET...: further sets, of questions or of speech alone, with what a judge would have heard;
# answers to questions of others are streamed, too.
decode_further() {
    local adapter=$1 log=$2 root overrides set people=() questions=() streamed=() subjects=() judged=()
    root=$(dirname "${log}")
    shift 2
    for set in "$@"; do
        if [ -f "${set}/questions.jsonl" ]; then questions+=("${set}"); else people+=("${set}"); fi
        if [ -f "${set}/questions.jsonl" ] && [ -f "${set}/outside.json" ]; then streamed+=("${set}"); fi
    done
    if [ -n "${judge}" ]; then judged=(--judge "${judge}"); fi
    read -r -a subjects <<<"${decode}"
    read_overrides decode
    infer "${log}" python -m freeze_omni.bin.decode all \
        --model "${expdir}/${mine}system_${adapter}" --root "${root}" --config "${decode_conf}" --seed "${seed}" \
        --threads "${nthreads}" --only "${subjects[@]}" --asr "${people[@]}" --questions "${questions[@]}" \
        --streamed "${streamed[@]}" "${judged[@]}" "${overrides[@]}"
}

# Scripted scenes of two voices, from the audio of the scene test set.
compose_scenes() {
    job "${dumpdir}/duplex_scenes/compose.log" python -m freeze_omni.bin.main duplex-scenes \
        --data "${dumpdir}/dialogue/${scene_test_set}" --output "${dumpdir}/duplex_scenes" \
        --count "${duplex_scenes}" --seed "${seed}"
}

# evaluate_part NAME SUBJECT SET MODEL [options]: decode and score a prepared set with one checkpoint, in full.
evaluate_part() {
    local name=$1 subject=$2 set=$3 model=$4 output="${expdir}/${mine}$1" overrides
    shift 4
    read_overrides decode
    once "${mine}${name}_${set}" "${llm}" "${judge}" --makes "${output}/${subject}_${set}.md" -- \
        infer "${output}/${set}.log" python -m freeze_omni.bin.evaluate "${subject}" \
        --model "${model}" --data "${dumpdir}/raw/${set}" --set "${set}" ${normaliser:+--normaliser "${normaliser}"} \
        ${llm_dtype:+--llm_dtype "${llm_dtype}"} \
        --config "${decode_conf}" --threads "${nthreads}" --output "${output}" --seed "${seed}" "$@" \
        "${overrides[@]}"
}

# A recipe of speech input alone: transcripts by the CTC head of 1.1 and, with an LLM, by 1.2 and the LLM.
evaluate_listening() {
    local set adapter model units=(--units "${datadir}/token_list")
    for set in $(asr_test_sets); do
        model=$(checkpoint_of encoder)
        evaluate_part decode_encoder asr "${set}" "${model}" "${units[@]}"
        if [ -z "${llm}" ]; then continue; fi
        for adapter in ${adapters}; do
            model=$(checkpoint_of adapter "${adapter}")
            evaluate_part "decode_adapter_${adapter}" asr "${set}" "${model}" "${units[@]}" --llm "${llm}"
        done
    done
}

# A recipe of speech output alone: text spoken by 2.2, recordings copied by the codec of 2.1.
evaluate_speaking() {
    local voice speaker options=()
    if [ -n "${judge}" ]; then options=(--judge "${judge}"); fi
    if [ -z "${llm}" ]; then
        evaluate_part decode_codec tts "${tts_test_set}" "$(codec_of)" "${options[@]}"
        return
    fi
    voice=$(first_sound "${dumpdir}/raw/${tts_valid_set}")
    speaker=$(checkpoint_of speech_decoder)
    evaluate_part decode_voice tts "${tts_test_set}" "${speaker}" \
        --codec "$(codec_of)" --llm "${llm}" --voice "${voice}" "${options[@]}"
}

# RESULTS.md of a recipe of one task: the tables that evaluate_part wrote, those of each tag last.
part_results() {
    local home table file="${expdir}/RESULTS.md"
    {
        echo "# Results of $(basename "$(dirname "${PWD}")"), $(basename "${conf}")"
        echo
        echo "Generated by stage 12; do not edit."
        if is_toy; then
            echo
            echo "**A toy: it proves that the stages fit together. Its figures mean nothing as results.**"
        fi
        for home in "${expdir}" "${expdir}"/tags/*; do
            part_tables "${home}" | while read -r table; do
                echo
                echo "# $(part_title "$(basename "$(dirname "${table}")")")$([ "${home}" = "${expdir}" ] || echo " ($(basename "${home}"))")"
                echo
                cat "${table}"
            done
        done
    } >"${file}.new"
    mv "${file}.new" "${file}"
    cat "${file}"
    if "${record}"; then append_record "${file}"; fi
}

# append_record FILE: for maintainers to commit, below what the recipe's RESULTS.md has already; never the same twice.
append_record() {
    local sum
    sum="<!-- $(cksum <"$1" | tr ' ' -) -->"
    if grep -qsFx -e "${sum}" RESULTS.md; then return; fi
    {
        if [ ! -s RESULTS.md ]; then echo "# Recorded results, the newest last"; fi
        printf '\n%s\n' "${sum}"
        sed -e '/^Generated by stage 12/,+1d' -e 's/^#/##/' "$1"
    } >>RESULTS.md
    log "recorded: RESULTS.md"
}

part_title() { # part_title <folder of evaluate_part>: which stage it scores
    case $1 in
        decode_encoder) echo "Stage 1.1: encoder and CTC head" ;;
        decode_adapter_*) echo "Stage 1.2: the LLM hears through the adapter ${1#decode_adapter_}" ;;
        decode_codec) echo "Stage 2.1: codec" ;;
        decode_voice) echo "Stage 2.2: speech decoder, and codec" ;;
    esac
}

# part_tables <folder>: its tables, in the order of the training stages and of the test sets.
part_tables() {
    local name set
    for name in decode_encoder $(printf 'decode_adapter_%s ' ${adapters}) decode_codec decode_voice; do
        for set in $(asr_test_sets 2>/dev/null) ${tts_test_set}; do
            find "$1/${name}" -maxdepth 1 -name "*_${set}.md" 2>/dev/null || true
        done
    done
}

stage_11() {
    if [ -z "${dialogue_train_set}" ]; then
        if [ -n "${train_set}" ]; then evaluate_listening; fi
        if [ -n "${tts_train_set}" ]; then evaluate_speaking; fi
        return
    fi
    need llm qa_test_set scene_test_set spoken_test_set
    local adapter set sets parts voice further=()
    asr_test_sets >/dev/null # says which optional sets are left out
    if ((duplex_scenes > 0)) && wanted duplex; then
        once duplex_scenes "${dumpdir}/dialogue/${scene_test_set}" "count=${duplex_scenes}" "seed=${seed}" \
            --makes "${dumpdir}/duplex_scenes" -- compose_scenes
    fi
    voice=$(first_sound "${dumpdir}/raw/${tts_valid_set}")
    for adapter in ${adapters}; do
        take_parts pack "${adapter}"
        once "${mine}system_${adapter}" "${parts[@]%:*}" "${llm}" "${llm_gguf}" "${datadir}/token_list" "${voice}" \
            "${conf}/pack.yaml" ${transcriber:+"${transcriber}" "${transcriber_language}"} \
            "system=${system_prompt}" "pack_args=${pack_args}" -- \
            pack_model "${adapter}" "${expdir}/${mine}system_${adapter}" --link_llm ${llm_dtype:+--llm_dtype "${llm_dtype}"}
        decoded_sets "${adapter}"
        once "${mine}decode_${adapter}" "${decode_conf}" "${expdir}/${mine}system_${adapter}" "${llm}" "${sets[@]}" \
            "${judge}" "decode=${decode}" "decode_args=${decode_args}" "seed=${seed}" -- \
            decode_model "${adapter}" "${expdir}/${mine}decode_${adapter}"
    done
    for set in ${further_qa_sets}; do further+=("${dumpdir}/dialogue/${set}"); done
    if ((${#further[@]} > 0)); then decode_once further scene "${further[@]}"; fi
    uncounted decode_outside
}

# decode_once NAME FILES SET...: decode_further with the default model, if the model or the sets' FILES have changed.
decode_once() {
    local name=$1 of_each=$2 adapter=${adapters%% *} file log files=()
    shift 2
    for file in ${of_each}; do files+=("${@/%//${file}}"); done
    log="${expdir}/${mine}decode_${adapter}/${name}.log"
    once "${mine}decode_${name}" "${decode_conf}" "${expdir}/${mine}system_${adapter}" "${files[@]}" "${judge}" \
        "${decode}" "${decode_args}" --makes "${log}" -- decode_further "${adapter}" "${log}" "$@"
}

decode_outside() {
    local sets
    prepare_outside_sets
    mapfile -t sets < <(outside_dirs)
    if ((${#sets[@]} > 0)); then decode_once outside "text outside.json" "${sets[@]}"; fi
}

is_toy() { [ "$(basename "${conf}")" = tiny ]; }

# This run in the tables: its scale, and its tag.
label() { echo "$(basename "${conf}")${tag:++${tag}}"; }

score_models() {
    local adapter file roots=() packs=() toy=() judged=() sources=() facts=()
    for adapter in ${adapters}; do
        roots+=("${adapter}=${expdir}/${mine}decode_${adapter}")
        packs+=("${adapter}=${expdir}/${mine}system_${adapter}")
    done
    if is_toy; then toy=(--toy); fi
    if [ -n "${judge}" ]; then judged=(--judge "${judge}"); fi
    for file in "${datadir}/sources.jsonl" "${dumpdir}/outside/sources.jsonl"; do
        if [ -f "${file}" ]; then sources+=("${file}"); fi
    done
    if ((${#sources[@]} > 0)); then sources=(--sources "${sources[@]}"); fi
    if [ -n "${tag}" ]; then facts=("overrides=$(all_overrides)"); fi
    infer "${expdir}/${mine}score.log" python -m freeze_omni.bin.score --root "${roots[@]}" \
        --model "${packs[@]}" --output "${results}" --scale "$(label)" "${toy[@]}" "${judged[@]}" "${sources[@]}" \
        --config "${decode_conf}" --stage_seconds "${expdir}/${mine}.stages" --seed "${seed}" \
        --fact "llm=$(basename "${llm}")" "data=${local_data_opts:-as given}" "${facts[@]}"
    tail -n 15 "${expdir}/${mine}score.log" | grep -v '^#' || true
    write_results "${results}" "${expdir}/RESULTS.md" "${expdir}/results.json" "${expdir}"/tags/*/results.json results/*.json
    if "${record}"; then record_results; fi
}

all_overrides() { # as they were given
    local name given words=()
    for name in $(overridden --all) pack decode; do
        given="${name}_args"
        if [ -n "${!given}" ]; then words+=("--${given} '${!given}'"); fi
    done
    echo "${words[*]}"
}

# write_results JSON OUTPUT OTHER...: RESULTS.md of this run and of the other results files; pictures next to JSON.
write_results() {
    local json=$1 output=$2 notes=() others=() curves file
    shift 2
    if [ -n "${result_notes}" ]; then notes=(--notes "${result_notes}"); fi
    for file in "$@"; do
        if [ -f "${file}" ] && [ "${file}" != "results/$(label).json" ]; then others+=("${file}"); fi
    done
    if is_toy; then others=(); fi
    mapfile -t curves < <(training_folders)
    job "${expdir}/${mine}results.log" python -m freeze_omni.bin.results --results "${json}" --output "${output}" \
        --title "Results of $(basename "$(dirname "${PWD}")")" "${notes[@]}" --beside "${others[@]}" \
        --root "${expdir}/${mine}decode_${adapters%% *}" --curves "${curves[@]}"
}

# For maintainers to commit: the scores in the recipe itself, next to those of its other scales.
record_results() {
    local recorded
    recorded="results/$(label).json"
    mkdir -p results
    cp "${results}" "${recorded}"
    write_results "${recorded}" RESULTS.md results/*.json
    log "recorded: ${recorded}, its pictures, and RESULTS.md"
}

stage_12() {
    if [ -z "${dialogue_train_set}" ]; then
        part_results
        return
    fi
    # Tags write RESULTS.md, with all results in it, when they are scored: theirs are no inputs.
    local adapter found inputs=("${decode_conf}" "${judge}" "${result_notes}" "${datadir}/sources.jsonl")
    for adapter in ${adapters}; do
        found=$(find "${expdir}/${mine}decode_${adapter}" -maxdepth 2 -name records.jsonl 2>/dev/null | LC_ALL=C sort || true)
        mapfile -t found <<<"${found}"
        inputs+=("${expdir}/${mine}decode_${adapter}"/{decode,further,outside}.log "${found[@]}")
    done
    once "${mine}score" "${inputs[@]}" "label=$(label)" "llm=$(basename "${llm}")" "data=${local_data_opts}" \
        "overrides=$(all_overrides)" "seed=${seed}" "record=${record}" \
        --makes "${results}" "${expdir}/RESULTS.md" -- score_models
}

stage_13() {
    [ -n "${dialogue_train_set}" ] || { log "no --dialogue_train_set: no whole model to pack"; return; }
    once "${mine}pack" "${results}" "${expdir}/${mine}system_${adapters%% *}" "${llm}" "${llm_gguf}" \
        "pack_args=${pack_args}" -- pack_model "${adapters%% *}" "${expdir}/${mine}pack" --results "${expdir}/RESULTS.md" \
        ${llm_dtype:+--llm_dtype "${llm_dtype}"}
}

stage_14() {
    [ -n "${dialogue_train_set}" ] || { log "no --dialogue_train_set: no whole model to talk to"; return; }
    local question=${talk_input}
    if "${serve}"; then
        log "freeze-omni serve --model ${expdir}/${mine}pack   (Ctrl-C to stop)"
        owned "${threads[@]}" python -m freeze_omni.bin.main serve --model "${expdir}/${mine}pack" --threads "${nthreads}"
        return
    fi
    if [ -z "${question}" ]; then
        question=$(first_sound "${dumpdir}/dialogue/${qa_test_set}")
    fi
    if ((stage == 14)); then rm -f "${expdir}/.stages/${mine//\//_}answer.done"; fi # if it is called alone, it talks again
    once "${mine}answer" "${expdir}/${mine}pack" "${question}" --makes "${expdir}/${mine}talk/answer.txt" -- answer_file "${question}"
    if ! "${work_done}"; then cat "${expdir}/${mine}talk/answer.txt"; fi
}

answer_file() { # answer_file QUESTION.wav: what the model heard and says, also kept as text
    local question=$1 code=0
    mkdir -p "${expdir}/${mine}talk"
    log "freeze-omni answer --model ${expdir}/${mine}pack --input ${question} --output ${expdir}/${mine}talk/answer.wav --stream"
    "${threads[@]}" python -m freeze_omni.bin.main answer --model "${expdir}/${mine}pack" --input "${question}" \
        --output "${expdir}/${mine}talk/answer.wav" --stream --threads "${nthreads}" |
        tee "${expdir}/${mine}talk/answer.txt" || code=$?
    if ((code == 3)) && is_toy; then
        log "a toy may have nothing to say"
    elif ((code != 0)); then
        return "${code}"
    fi
}
