# The walls of docs/architecture.md: who may include whom, and where libraries stay.
set -euo pipefail
status=0
# no PATTERN FOLDERS...: no file there includes it.
no() {
    local pattern=$1
    shift
    if grep -rnE "#include [<\"]$pattern" "$@" --include=*.c --include=*.h --include=*.cc --include=*.inl; then
        echo "FAILED: $* must not include $pattern"
        status=1
    fi
}
no 'mpi\.h' src kernels tools
no '(mpi|tools)/' src kernels
no 'tools/' mpi
no '(hdf5|H5)' src/base src/text src/data src/model src/reward src/rollout src/learn src/report kernels mpi tools
no '(cuda|cublas|nccl)' src mpi tools kernels/ops.h kernels/cpu
no '(src/(text|data|model|reward|rollout|learn|checkpoint|report)|kernels)/' src/base
no '(src/(data|model|reward|rollout|learn|checkpoint|report)|kernels)/' src/text
no 'src/(model|reward|rollout|learn|checkpoint|report)/' src/data
no 'src/(data|reward|rollout|learn|checkpoint|report)/' src/model
no 'kernels/cpu/' src mpi tools
no 'src/(text|data|model|reward|rollout|learn|checkpoint|report)/' kernels
exit $status
