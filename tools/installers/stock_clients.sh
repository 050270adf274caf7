#!/usr/bin/env bash
# pipecat and LiveKit as their users install them, for tests/run.sh --integrations: in tools/venv_clients, an environment
# of its own, as nothing here needs them. Prints its Python. FREEZE_OMNI_CLIENTS names another environment that has them.
set -euo pipefail
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${FREEZE_OMNI_CLIENTS:-$tools/venv_clients}
packages=('pipecat-ai[openai,websocket]==1.14.0' livekit-agents==1.8.9 livekit-plugins-openai==1.8.9 uvicorn)
die() { echo "stock_clients.sh: error: $*" >&2; exit 1; }

if [ -z "${FREEZE_OMNI_CLIENTS:-}" ] && [ "$(cat "$venv/packages" 2>/dev/null)" != "${packages[*]}" ]; then
  [ -x "$tools/venv/bin/python" ] || die "there is no $tools/venv; run tools/install.sh first"
  "$tools/venv/bin/python" -m venv --clear "$venv"
  "$venv/bin/python" -m pip install --quiet "${packages[@]}" >&2 ||
    die "pip could not install ${packages[*]}; its reason is above (pip config list shows the index)"
  echo "${packages[*]}" >"$venv/packages"
fi
echo "$venv/bin/python"
