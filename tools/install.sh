#!/usr/bin/env bash
# Sets up everything that the recipes and the tests need, in tools/venv. Run it again at any time:
# it adopts what exists, resumes where it stopped, and returns at once if nothing changed.
#
#   tools/install.sh [--python PATH] [--torch_index URL] [--force]
#
# --python PATH       the Python (3.12 or 3.13) to use; else it is looked for on PATH and in pyenv, conda, uv
# --torch_index URL   take torch and torchaudio from this index, such as that of torch's builds for CPUs, which come
#                     without 4 GB of CUDA; for a new environment. FREEZE_OMNI_TORCH_INDEX=URL does the same
# --force             run pip even when nothing changed
#
# It takes the versions of tools/constraints.txt, with which this was tested, if the Python is the one named there.
# pip's own configuration applies (index, constraints, proxy). FREEZE_OMNI_EXTRAS chooses the extras.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/tools/venv
log=$root/tools/install.log
stamp=$venv/.freeze_omni_stamp
constraints=$root/tools/constraints.txt
extras=${FREEZE_OMNI_EXTRAS:-train,eval,synth,serve,recipes,llama,chinese,dev,docs,completion}
torch_index=${FREEZE_OMNI_TORCH_INDEX:-}
needed_gb=12
python="" force=false

note() { echo "install.sh: $*"; }
die() { echo "install.sh: error: $*" >&2; exit 1; }

while [ $# -gt 0 ]; do
  case $1 in
    --python) [ $# -ge 2 ] || die "--python needs a path"; python=$2; shift 2 ;;
    --torch_index) [ $# -ge 2 ] || die "--torch_index needs a URL"; torch_index=$2; shift 2 ;;
    --force) force=true; shift ;;
    -h|--help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) die "unknown option $1 (see --help)" ;;
  esac
done

fingerprint() {  # changes when the requirements, this script, the place or the Python change
  {
    echo "$root $extras"
    grep '^version' "$venv/pyvenv.cfg" 2>/dev/null
    cat "$root/pyproject.toml" "$root/tools/install.sh"
    if [ -f "$constraints" ]; then cat "$constraints"; fi
  } | cksum
}

usable() {  # usable PYTHON: is it 3.12 or 3.13, and can it make environments?
  "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 12) <= sys.version_info < (3, 14))' >/dev/null 2>&1
}

candidates() {
  local name folder
  for name in python3.12 python3.13 python3 python; do
    type -ap "$name" 2>/dev/null || true
  done
  for folder in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.{12,13}*; do
    echo "$folder/bin/python3"
  done
  for folder in "${CONDA_PREFIX:-}" "$HOME"/{miniconda3,anaconda3,miniforge3,mambaforge} /opt/conda; do
    [ -n "$folder" ] || continue
    printf '%s\n' "$folder/bin/python3" "$folder"/envs/*/bin/python3
  done
  if command -v uv >/dev/null; then
    uv python find --no-project '>=3.12,<3.14' 2>/dev/null || true
  fi
}

find_python() {
  local path
  while read -r path; do
    if [ -x "$path" ] && usable "$path"; then
      echo "$path"
      return 0
    fi
  done < <(candidates)
  return 1
}

no_python() {
  die "no Python 3.12 or 3.13 with its venv module was found (PATH, pyenv, conda, uv). Any of these gives one:
    uv python install 3.12
    pyenv install 3.12
    conda create -y -n freeze_omni python=3.12 && conda activate freeze_omni
    apt-get install python3.12 python3.12-venv    (where the distribution has it)
  Then run this again, or name it: tools/install.sh --python /path/to/python3.12"
}

check_space() {  # only when the large packages are still to come
  local free_kb
  if compgen -G "$venv/lib/python3*/site-packages/espnet" >/dev/null; then return 0; fi
  free_kb=$(df -Pk "$root/tools" | awk 'NR == 2 {print $4}')
  [ "$free_kb" -ge $((needed_gb * 1024 * 1024)) ] || die "the set-up needs $needed_gb GB, but only \
$((free_kb / 1024 / 1024)) GB are free where $root/tools lies. Make room, or clone to a larger disk."
}

make_venv() {
  if [ -x "$venv/bin/python" ] && usable "$venv/bin/python"; then
    note "using the environment $venv ($("$venv/bin/python" -V))"
  else
    if [ -z "$python" ]; then python=$(find_python) || no_python; fi
    usable "$python" || die "$python is not Python 3.12 or 3.13, or has no venv and ensurepip modules"
    note "making $venv with $python ($("$python" -V 2>&1))"
    "$python" -m venv "$venv" >>"$log" 2>&1 || die "could not make $venv; the reason is at the end of $log"
  fi
  "$venv/bin/python" -m pip --version >/dev/null 2>&1 ||
    "$venv/bin/python" -m ensurepip >>"$log" 2>&1 || die "could not put pip into $venv; see $log"
}

offline() {
  tail -n 40 "$log" | grep -qE 'NewConnectionError|NameResolution|name resolution|ConnectTimeout|Read timed out|ProxyError|ReadTimeoutError|Connection(Reset|Refused|Aborted)|IncompleteRead'
}

explain_pip() {
  tail -n 15 "$log" >&2
  if tail -n 40 "$log" | grep -qE 'No space left|Errno 28'; then
    die "the disk is full. Free some space ($needed_gb GB are needed in all) and rerun: it resumes from here."
  elif offline; then
    die "the package index cannot be reached. Check the network, proxy and index settings (pip config list), then
  rerun: it resumes from here."
  elif unmatched; then
    die "a package has no version for this Python or machine, or pip's constraints forbid it (pip config list).
  The lines above name it."
  fi
  die "pip failed; the lines above are the end of $log"
}

pinned() {  # pinned: are the tested versions for this Python?
  local tested
  tested=$(sed -n '1s/^# Python //p' "$constraints" 2>/dev/null) || return 1
  [ -n "$tested" ] && grep -qE "^version(_info)? *= *${tested/./\\.}\." "$venv/pyvenv.cfg"
}

unmatched() { tail -n 40 "$log" | grep -qE 'No matching distribution|ResolutionImpossible'; }

install_torch() {  # from --torch_index, before pip finds another build of it elsewhere
  local versions=()
  if compgen -G "$venv/lib/python3*/site-packages/torch-*" >/dev/null; then
    note "torch stays the one that tools/venv has: remove tools/venv to take that of $torch_index"
    return 0
  fi
  if pinned; then versions=(-c "$constraints"); fi
  note "installing torch and torchaudio from $torch_index"
  "$venv/bin/python" -m pip install --no-input --no-deps --index-url "$torch_index" "${versions[@]}" torch torchaudio \
    >>"$log" 2>&1 || explain_pip
}

install_packages() {
  local try versions=()
  if pinned; then versions=(-c "$constraints"); fi
  note "installing freeze_omni[$extras]: some minutes and about 7 GB the first time (log: tools/install.log)"
  for try in 1 2 3; do
    if "$venv/bin/python" -m pip install --no-input "${versions[@]}" -e "${root}[$extras]" >>"$log" 2>&1; then
      return 0
    fi
    if [ ${#versions[@]} -gt 0 ] && unmatched; then
      note "warning: not all versions of tools/constraints.txt can be had here (see $log); taking others"
      versions=()
      continue
    fi
    if [ "$try" = 3 ] || ! offline; then explain_pip; fi
    note "the network failed; trying again"
    sleep 5
  done
}

write_activate() {
  cat >"$root/tools/activate_python.sh" <<'END'
# shellcheck shell=bash
# Written by tools/install.sh; source it to use the environment tools/venv.
VIRTUAL_ENV=$(cd "$(dirname "${BASH_SOURCE[0]}")/venv" && pwd)
export VIRTUAL_ENV
case ":$PATH:" in
  *":$VIRTUAL_ENV/bin:"*) ;;
  *) export PATH="$VIRTUAL_ENV/bin:$PATH" ;;
esac
unset PYTHONHOME
END
}

is_done() {
  [ -f "$stamp" ] && [ -x "$venv/bin/python" ] && [ -f "$root/tools/activate_python.sh" ] &&
    [ "$(cat "$stamp")" = "$(fingerprint)" ]
}

if ! $force && is_done; then
  note "nothing to do: tools/venv is up to date"
  exit 0
fi
if command -v flock >/dev/null; then  # two set-ups at once would break each other
  exec 9>"$root/tools/.install.lock"
  flock -n 9 || { note "another set-up is running; waiting for it"; flock 9; }
  if ! $force && is_done; then exit 0; fi
fi

echo "== $(date) $0" >>"$log"
check_space
make_venv
if [ -n "$torch_index" ]; then install_torch; fi
install_packages
"$venv/bin/python" -m pip check >>"$log" 2>&1 || {
  tail -n 10 "$log" >&2
  die "packages in $venv do not fit together (above). Remove tools/venv and run this again."
}
"$venv/bin/python" "$root/tools/check_install.py"
write_activate
fingerprint >"$stamp"
note "done: source tools/activate_python.sh to use it"
