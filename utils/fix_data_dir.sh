#!/usr/bin/env bash
# Fixes a Kaldi data directory: fix_data_dir.sh --help
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
python=$root/tools/venv/bin/python
[ -x "$python" ] || python=python3
PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} exec "$python" -m freeze_omni.bin.fix_data_dir "$@"
