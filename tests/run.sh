#!/usr/bin/env bash
# The tests: set up on first use, then ruff, mypy, shellcheck and the unit tests.
#
#   tests/run.sh                 linters and unit tests, in three minutes
#   tests/run.sh --processes     tests that start recipes or trainings as processes of their own
#   tests/run.sh --servers       tests with a server, its clients or a browser
#   tests/run.sh --recipe        the tiny recipe, all stages, from data to an answer
#   tests/run.sh --corpora       stages 1 to 3 of every recipe, on miniatures of their corpora; of one a task all stages
#   tests/run.sh --paper         the paper's recipe and configuration in miniature, all stages, two processes a training
#   tests/run.sh --kills         kill -9 in each stage of the tiny recipe, ten rounds: an hour, not in CI
#   tests/run.sh --integrations  pipecat and LiveKit, unchanged from the package index, with a server
#   tests/run.sh --wheel         the built wheel, installed and served from a fresh environment
#   tests/run.sh --docs          the pages as a site, in build/site; a warning is an error
#   tests/run.sh -k encoder -x   anything else goes to pytest (and the linters are left out)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
  sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
  exit 0
fi

"$root/tools/install.sh"
# shellcheck source=/dev/null
source "$root/tools/activate_python.sh"
cd "$root"
unset PYTHONDONTWRITEBYTECODE # else each process of a recipe compiles the package anew

if [ "${1:-}" = --recipe ]; then
  shift
  cd egs/mini/s2s1
  exec ./run.sh --scale tiny "$@"
fi

if [ "${1:-}" = --processes ]; then
  shift
  export OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
  exec python -m pytest -n 2 -m processes "$@"
fi

if [ "${1:-}" = --servers ]; then
  shift
  export OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
  exec python -m pytest -m servers "$@" # one at a time: they wait for ports and clocks
fi

if [ "${1:-}" = --corpora ]; then
  shift
  export OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
  exec python -m pytest -n 2 -m corpora tests/recipes "$@"
fi

if [ "${1:-}" = --paper ]; then
  shift
  export OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
  exec python -m pytest -m paper tests/recipes "$@"
fi

if [ "${1:-}" = --kills ]; then
  shift
  export OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
  exec python -m pytest -n 2 -m kills tests/recipes/test_kills.py "$@"
fi

if [ "${1:-}" = --integrations ]; then
  shift
  export OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
  exec python -m pytest -m integrations tests/integrations "$@"
fi

if [ "${1:-}" = --wheel ]; then
  shift
  exec python -m pytest -m wheel tests/test_wheel.py "$@"
fi

if [ "${1:-}" = --docs ]; then
  shift
  export NO_MKDOCS_2_WARNING=1 # an announcement, not about these pages
  exec mkdocs build --strict "$@"
fi

shell_scripts() {
  find . \( -path ./tools/venv -o -path ./tools/venv_clients -o -path ./.git -o -name exp -o -name dump \) -prune -o \
    -type f \( -name '*.sh' -o -path ./.ci/run \) -not -name activate_python.sh -print0
}

if [ $# -eq 0 ]; then
  echo "== ruff"
  ruff check .
  ruff format --check .
  echo "== mypy"
  mypy
  echo "== shellcheck"
  shell_scripts | xargs -0 shellcheck --severity=warning
  echo "shell scripts: clean"
  echo "== pytest"
fi
# One thread for each of the two workers: two torch processes with more would slow each other down. Each begins with one
# half of the tests in their order, so that what a file or folder sets up is set up once, and takes over at the end.
export OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
exec python -m pytest -n 2 --dist worksteal "$@"
