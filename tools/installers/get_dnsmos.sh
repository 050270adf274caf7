#!/usr/bin/env bash
# How good speech sounds: the DNSMOS models of speechmos (MIT), read out of its wheel. Prints the folder.
# FREEZE_OMNI_DNSMOS_DIR names your own folder.
set -euo pipefail
# shellcheck source=tools/installers/fetch.sh
source "$(dirname "$0")/fetch.sh"
part_begin dnsmos 1 FREEZE_OMNI_DNSMOS_DIR sig_bak_ovr.onnx

from_pypi speechmos 0.0.1.1 speechmos-0.0.1.1-py3-none-any.whl \
  31c4c9d3234f6ee10102edff74333014c50006a3f389daf7ecacae34e68ebbf7
unpack_wheel "$fetched" "$new/tmp"
mv "$new/tmp/speechmos/dnsmos_models/"{sig_bak_ovr.onnx,model_v8.onnx} "$new/"
keep_licences "$new/tmp" speechmos
note "DNSMOS: MIT"
rm -rf "$new/tmp"
part_end
