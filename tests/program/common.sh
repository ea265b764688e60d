# Sourced by the programs' tests with the program's path: a folder to work in, runs and their
# hashes, checks that print what they saw.  A test ends at its first failure.
regard=$(realpath "$1")
source run/environment
export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
# intercept_tls_get_addr: docs/pitfalls.md, LeakSanitizer
export ASAN_OPTIONS=allocator_may_return_null=1:intercept_tls_get_addr=0
# On a machine that is busy an mpirun may take longer to end than run/mpirun waits for one.
export REGARD_MPIRUN_GRACE=30
# A sanitized program takes many times as long: tests then do fewer of what they repeat.
sanitized=''
if ldd "$regard" | grep -q libasan; then sanitized=yes; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tiny=configs/tiny.yaml

fail() {
    echo "FAILED: $*"
    if [ -s "$work/err" ]; then
        echo "stderr of the last command:"
        tail -20 "$work/err"
    fi
    exit 1
}

# expect_status WANTED COMMAND...: stdout and stderr lie in $work/out and $work/err.
expect_status() {
    local wanted=$1 got=0
    shift
    "$@" >"$work/out" 2>"$work/err" || got=$?
    [ "$got" = "$wanted" ] || fail "status $got, not $wanted, of: $*"
}

# ranks N COMMAND...: 0 ranks: without mpirun.
ranks() {
    local count=$1
    shift
    if [ "$count" = 0 ]; then "$@"; else run/mpirun -np "$count" "$@"; fi
}

parameters_hash() { "$regard" inspect "$1" | sed -n 's/^parameters sha256 //p'; }

newest() { ls -d "$1"/checkpoints/step-?????? | tail -1; }

# expect_same NAME WANTED GOT: texts that are there and equal.
expect_same() {
    [ -n "$2" ] || fail "$1: nothing to compare with"
    [ "$2" = "$3" ] || fail "$1: $3, not $2"
}

expect_equal_files() {
    [ -s "$1" ] || fail "$1 is empty"
    cmp "$1" "$2" || fail "$2 is not $1"
}

# expect_equal_metrics A B: metrics.jsonl of two runs, but for what a clock says.
expect_equal_metrics() {
    local file
    for file in "$1" "$2"; do
        [ -s "$file" ] || fail "$file is empty"
        sed -E 's/,"seconds":.*/}/; s/,"[a-z_]*_ms":[^,}]*//g' "$file" >"$work/metrics.$([ "$file" = "$1" ] && echo a || echo b)"
    done
    diff "$work/metrics.a" "$work/metrics.b" || fail "$2 is not $1"
}

# $disk stands before FAULT_... and a command: a disk that is slow or broken under checkpoints that are
# being written (tests/faults/slow_disk.c).  A run that is to be killed on its way is so never over before.
slow_disk() {
    cc -std=gnu11 -O1 -Wall -Wextra -Werror -shared -fPIC -o "$work/slow_disk.so" tests/faults/slow_disk.c -ldl
    disk=(env LD_PRELOAD="$work/slow_disk.so" ASAN_OPTIONS="$ASAN_OPTIONS:verify_asan_link_order=0")
}

# One line on stderr, with every text in it.
expect_line() {
    local lines
    lines=$(grep -c . "$work/err") || true
    [ "$lines" = 1 ] || fail "$lines lines on stderr, not 1"
    expect_said "$@"
}

expect_said() {
    local text
    for text in "$@"; do
        grep -qF -- "$text" "$work/err" || fail "stderr does not say: $text"
    done
}

# Beside mpirun's own words, one line of ours with this text.
expect_said_once() {
    expect_said "$1"
    local lines
    lines=$(grep -c '^regard: ' "$work/err") || true
    [ "$lines" = 1 ] || fail "$lines lines of regard's on stderr, not 1"
}
