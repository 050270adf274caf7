# What a job that failed says: the end of its log, its error in one line, and the option or file that fixes it.

# show_failure LOG COMMAND...
show_failure() {
    local file=$1 error config='' task=''
    shift
    grep -v '^# ' "${file}" 2>/dev/null | tail -n 15 >&2 || true
    error=$(grep -E '^([A-Za-z_.]*(Error|Exception|Interrupt)(:|$)|[A-Za-z][A-Za-z0-9_./ -]*: error: )' "${file}" 2>/dev/null | tail -n 1) ||
        error=$(ended_with "${file}")
    while [ $# -gt 1 ]; do
        case $1 in
            --config) config=$2 ;;
            freeze_omni.bin.train) task=$2 ;;
        esac
        shift
    done
    echo "s2s.sh: error in ${file}: ${error}" >&2
    fix_of "${error}" "${config}" "${task}" >&2
}

ended_with() { # ended_with LOG: in words, of a job that gave no error itself
    local code
    code=$(sed -n 's/^# Ended (code \([0-9]*\)).*/\1/p' "$1" 2>/dev/null | tail -n 1)
    case ${code} in
        '') echo "ended from outside: by a limit of time or memory of the queue, or by kill" ;;
        137) echo "killed: out of memory" ;;
        *) echo "ended with code ${code}, without an error message" ;;
    esac
}

# fix_of ERROR CONFIG TASK: a line that begins with "fix:"; errors of the toolkit name their fix themselves.
fix_of() {
    local config=$2 task=$3 change=''
    if [ -n "${task}" ]; then change=" in ${config}, or with --${task}_args"; fi
    case $1 in
        *[Oo]"ut of memory"* | *OutOfMemoryError* | *MemoryError* | *"can't allocate memory"*)
            if [ -n "${task}" ]; then
                echo "fix: lower batch_bins (or batch_size) and raise accum_grad${change} \"--batch_bins N\""
            else
                echo "fix: lower --nj or --nthreads, or free memory"
            fi ;;
        *"ended from outside"*) echo "fix: raise --time and --mem of cuda_cmd and decode_cmd in cmd.sh" ;;
        *"No space left on device"* | *"Disk quota exceeded"*) echo "fix: free some space, or move --expdir and --dumpdir" ;;
        *"Too many open files"*) echo "fix: ulimit -n 65536, in the shell that starts the run" ;;
        *"No module named"*) echo "fix: ${MAIN_ROOT:-.}/tools/install.sh, or install the package that is named" ;;
        *CUDA* | *NVIDIA* | *NCCL*) echo "fix: --ngpu: the number of GPUs that nvidia-smi lists; 0 trains on the CPU" ;;
        *": error: "* | *ConfigError* | *TableError* | *AudioError*) ;;
        *) if [ -n "${task}" ]; then echo "fix: if a setting is the cause, change it${change}; all settings: docs/stages.md"; fi ;;
    esac
}
