# The walls of docs/architecture.md: which layer may include which, where libraries stay, and no
# circle of includes between modules (a .c file and its header are one module).
set -euo pipefail
status=0

# "FILE INCLUDED", a line an include of our own, both as paths from the top.
includes() {
    grep -rnHoE '^#include "[^"]+"' src kernels mpi tools/regard \
        --include=*.c --include=*.h --include=*.cc --include=*.inl --include=*.cu --include=*.cuh |
        sed -E 's/:[0-9]+:#include "/ /; s/"$//'
}

# What each layer may include beside itself; a folder that is not listed fails.
allowed='
src/base       :
src/text       : src/base
kernels        : src/base
kernels/cpu    : src/base kernels
kernels/cuda   : src/base kernels
src/data       : src/base src/text
src/task       : src/base src/text src/data
src/model      : src/base kernels
src/capture    : src/base kernels src/model
src/fit        : src/base src/text src/data src/capture
src/reward     : src/base
src/source     : include src/base src/text src/data src/capture src/fit src/reward
src/rollout    : src/base src/text src/data src/task kernels src/model src/capture src/reward src/source
src/report     : src/base
src/page       : src/base src/text
src/learn      : src/base kernels src/model src/capture src/fit src/reward src/rollout
src/evaluate   : src/base src/text src/data src/task kernels src/model src/capture src/reward src/source src/rollout src/report
src/probe      : src/base src/text src/data src/task kernels src/model src/capture src/fit src/reward src/source src/rollout src/report src/evaluate
src/pairs      : src/base src/text src/data src/task kernels src/model src/capture src/fit src/reward src/source src/rollout src/report src/evaluate src/probe
src/checkpoint : src/base kernels src/model
src/plan       : src/base
mpi            : src/base src/text src/data src/task kernels src/model src/capture src/fit src/reward src/source src/rollout src/report src/learn src/evaluate src/probe src/checkpoint src/plan
tools/regard   : src/base src/text src/data src/task kernels src/model src/capture src/fit src/reward src/source src/rollout src/report src/learn src/evaluate src/probe src/pairs src/checkpoint src/page mpi src/plan
'
layer='s#(^| )(src/[a-z_]+|kernels/cpu|kernels/cuda|kernels|mpi|tools/regard)/[^ ]*#\1\2#g'
crossed=$(includes | awk '$2 ~ "/"' | awk -v layer_of="$allowed" '
    function layer(path) {
        return match(path, "^(include|src/[a-z_]+|kernels/cpu|kernels/cuda|kernels|mpi|tools/regard)/") ? substr(path, 1, RLENGTH - 1) : path
    }
    BEGIN {
        n = split(layer_of, lines, "\n")
        for (i = 1; i <= n; i++) {
            m = split(lines[i], words, " ")
            for (j = 3; j <= m; j++) may[words[1], words[j]] = 1
            if (m) may[words[1], words[1]] = 1
        }
    }
    !may[layer($1), layer($2)] { print "  " $1 " includes " $2 }')
if [ -n "$crossed" ]; then
    printf 'FAILED: includes across a wall:\n%s\n' "$crossed"
    status=1
fi

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
# Layers whose settings are made at the edge: their settings.c alone knows the configuration.
if grep -rn '#include "src/base/config' src/reward src/source src/learn | grep -v '/settings\.c:'; then
    echo "FAILED: src/reward, src/source and src/learn take settings, not the configuration"
    status=1
fi
no '(hdf5|H5)' src/base src/text src/data src/model src/reward src/source src/rollout src/learn src/report kernels mpi tools
# What is inside a model: its families and their state.
no 'src/model/([^"]*/|[a-z_]*_state\.h|famil)' mpi tools kernels $(ls -d src/*/ | grep -v src/model/)
no '(cuda|cublas|nccl)' src mpi tools kernels/*.[ch] kernels/cpu
no 'src/base/config' kernels src/model

# Circles: tsort names the members of each.
circles=$(includes | sed -E 's/\.(c|h|cc|inl|cu|cuh)( |$)/\2/g' | awk '$1 != $2' | sort -u |
    tsort 2>&1 >/dev/null | sed 's/^tsort: -: input contains a loop:/  a circle:/; s/^tsort: /    /') || true
if [ -n "$circles" ]; then
    printf 'FAILED: modules that include each other:\n%s\n' "$circles"
    status=1
fi
exit $status
