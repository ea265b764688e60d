# run/mpirun: of an end that regard has explained, mpirun says nothing; of any other it does; and an
# mpirun that outlives its ranks is ended.
source "$(dirname "$0")/common.sh" "$1"
train=("$regard" train --config $tiny --set eval.every=0)

# start RUN: a job in the background, once it has learned something.
start() {
    run/mpirun -np 2 "${train[@]}" --set train.updates=100000 --run "$1" >"$work/out" 2>"$work/err" &
    job=$!
    until [ -s "$1/metrics.jsonl" ]; do
        kill -0 $job 2>/dev/null || fail "the job ended"
        sleep 0.05
    done
}

expect_no_other_lines() {
    ! grep -qvE '^regard(\[0\] (info|warning))?: ' "$work/err" || fail "others speak too: $(cat "$work/err")"
}

# A good end that was asked for.
start "$work/asked"
kill -TERM $job
status=0
wait $job || status=$?
expect_same "status after SIGTERM" 75 $status
expect_said_once "regard: stopped by a signal after a checkpoint; go on with --resume"
expect_no_other_lines

# One that comes before there are ranks is not lost: they get it, or end by it where they have just begun.
for delay in 0.05 0.15; do
    run/mpirun -np 2 "${train[@]}" --set train.updates=400 --run "$work/early" >"$work/out" 2>"$work/err" &
    job=$!
    sleep $delay
    kill -TERM $job
    status=0
    wait $job || status=$?
    # 143: the script itself had not begun.
    [[ $status =~ ^(75|138|143)$ ]] || fail "status $status after an early SIGTERM"
    rm -rf "$work/early"
done

# Errors of the user's.
expect_status 1 run/mpirun -np 2 "${train[@]}" --set data.train=/nowhere --run "$work/refused"
expect_line "/nowhere"
expect_status 2 run/mpirun -np 2 "$regard" train --config $tiny
expect_line "train needs --run"
# A guard's end.
expect_status 4 run/mpirun -np 2 "${train[@]}" --set guard.gradient_norm_max=1e-9 \
    --set guard.max_skips=2 --run "$work/guarded"
expect_no_other_lines

# mpirun's own, and those of ranks that say nothing.
got=0
run/mpirun -np 2 "$work/absent" >"$work/out" 2>"$work/err" || got=$?
[ $got != 0 ] || fail "a program that is not there was started"
expect_said "mpirun was unable to launch" "$work/absent"
expect_status 9 run/mpirun -np 1 sh -c 'printf "half a " >&2; sleep 0.2; echo line >&2; exit 9'
expect_said "half a line" "Exit code:    9"

# An mpirun that hangs when its ranks are gone: here since it was stopped.
export REGARD_MPIRUN_GRACE=2
start "$work/outlived"
launcher=$(pgrep -P $job -x mpirun) || launcher=$(pgrep -P $job -f '^mpirun')
ranks=$(pgrep -P "$launcher")
kill -STOP "$launcher"
kill -KILL $ranks
status=0
wait $job || status=$?
expect_same "status without ranks" 70 $status
expect_said "run/mpirun: mpirun still waits 2 s after its ranks here have ended: killed"

# One that has lost a host, and ends with 0 as Open MPI 5's does.
mkdir "$work/bin"
printf '#!/bin/sh\necho "PRTE has lost communication with a remote daemon." >&2\n' >"$work/bin/mpirun"
chmod +x "$work/bin/mpirun"
PATH=$work/bin:$PATH expect_status 70 run/mpirun -np 2 "$regard"
expect_said "PRTE has lost communication"
