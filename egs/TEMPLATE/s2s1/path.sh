# Sourced by a recipe: puts the toolkit's Python, its package and utils/ on the path.
MAIN_ROOT=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../.." && pwd)
export MAIN_ROOT
if [ -f "${MAIN_ROOT}/tools/activate_python.sh" ]; then
    # shellcheck disable=SC1091
    . "${MAIN_ROOT}/tools/activate_python.sh"
else
    echo "path.sh: ${MAIN_ROOT}/tools/activate_python.sh is missing: run ${MAIN_ROOT}/tools/install.sh first" >&2
    return 1
fi
export PATH="${PWD}/utils:${MAIN_ROOT}/utils:${PATH}"
export PYTHONPATH="${MAIN_ROOT}${PYTHONPATH:+:${PYTHONPATH}}"
export PYTHONUNBUFFERED=1 PYTHONIOENCODING=UTF-8 LC_ALL=C.UTF-8
export TOKENIZERS_PARALLELISM=false
