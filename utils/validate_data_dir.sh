#!/usr/bin/env bash
# Reports what is wrong with a Kaldi data directory, with file and line: validate_data_dir.sh --help
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
python=$root/tools/venv/bin/python
[ -x "$python" ] || python=python3
PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} exec "$python" -m freeze_omni.bin.validate_data_dir "$@"
