# On a terminal progress is one line, through run/mpirun too; elsewhere a line of the log each.
set -euo pipefail
source tests/program/common.sh
if ! command -v script >/dev/null; then
    echo "SKIPPED: no script(1), which makes a terminal"
    exit 77
fi

train="'$regard' train --config $tiny --set threads=1 --set eval.every=0 --set checkpoint.every=0 --set train.updates=3"
terminal() { # COMMAND...: its output on a terminal of 60 columns
    TERM=xterm script -qec "stty cols 60; $*" /dev/null </dev/null >"$work/out" 2>&1 || fail "$(cat "$work/out")"
    tr '\r' '\n' <"$work/out" | sed 's/\x1b\[K//g' >"$work/lines"
    for step in 1 2 3; do
        grep -q "^train $step/3 " "$work/lines" || fail "no progress of $step: $(cat "$work/lines")"
    done
    ! grep -q 'info: train [0-9]*/' "$work/lines" || fail "a line of the log for an update"
    awk '/^train/ && length > 59 { exit 1 }' "$work/lines" || fail "a line does not fit: $(cat "$work/lines")"
    [ "$(tr -cd '\n' <"$work/out" | wc -c)" -le 5 ] || fail "more than a line: $(cat "$work/out")"
}
terminal "$train --run '$work/alone'"
terminal "run/mpirun -np 2 $train --run '$work/two'"

expect_status 0 run/mpirun -np 1 "$regard" train --config $tiny --set eval.every=0 --set checkpoint.every=0 \
    --set train.updates=3 --run "$work/pipe"
[ "$(grep -c 'info: train [123]/3 ' "$work/err")" = 3 ] || fail "not a line each"
! grep -q $'\r' "$work/err" || fail "a terminal's line in a file"
