#!/usr/bin/env bash
# The main job: from scratch to a spoken answer, with scores.
#
#   ./run.sh [options]               set up on first use, then run egs/mini/s2s1 with these options
#   ./run.sh CORPUS/TASK [options]   the same for another recipe, for example ./run.sh mini/s2s1
#   ./run.sh CORPUS/TASK --help      the recipe's own options (--stage, --stop_stage, --scale, ...)
#
# It resumes where it stopped, and exits at once if nothing remains.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
recipe=mini/s2s1

recipes() {
  local path
  for path in "$root"/egs/*/*/run.sh; do
    path=${path#"$root"/egs/}
    echo "  ${path%/run.sh}"
  done
}

if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
  sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
  echo "Recipes:"
  recipes
  exit 0
fi
if [ $# -gt 0 ] && [[ $1 != -* ]]; then
  recipe=${1#egs/}
  recipe=${recipe%/}
  shift
fi
if [ ! -f "$root/egs/$recipe/run.sh" ]; then
  echo "run.sh: no recipe egs/$recipe; the recipes are:" >&2
  recipes >&2
  exit 1
fi

"$root/tools/install.sh"
cd "$root/egs/$recipe"
exec ./run.sh "$@"
