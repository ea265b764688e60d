# A rank that stops ends the run after watchdog.seconds, with one line that names it and its host;
# a whole job that was stopped and goes on does not.
source "$(dirname "$0")/common.sh" "$1"
train=("$regard" train --config $tiny --set roles.learners=2 --set train.updates=100000
    --set watchdog.seconds=12 --set eval.every=0)

# start RUN: a job in the background, once it has learned something.
start() {
    run/mpirun -np 4 "${train[@]}" --run "$1" >"$work/out" 2>"$work/err" &
    job=$!
    until [ -s "$1/metrics.jsonl" ]; do
        kill -0 $job 2>/dev/null || fail "the job ended"
        sleep 0.05
    done
}

# pid_of RUN RANK
pid_of() {
    local pid
    for pid in $(pgrep -f -- "--run $1\$"); do
        [ "$(readlink "/proc/$pid/exe")" = "$regard" ] || continue
        if tr '\0' '\n' <"/proc/$pid/environ" | grep -qx "OMPI_COMM_WORLD_RANK=$2"; then echo "$pid"; fi
    done
}

for rank in 2 0; do # an actor; the one that otherwise speaks for all
    start "$work/stopped-$rank"
    kill -STOP "$(pid_of "$work/stopped-$rank" $rank)"
    status=0
    wait $job || status=$?
    expect_same "status with rank $rank stopped" 70 $status
    expect_said_once "rank $rank ($(hostname)) did not come to "
    expect_said "within 12 s (watchdog.seconds)"
done

start "$work/suspended"
pids=$(for rank in 0 1 2 3; do pid_of "$work/suspended" $rank; done)
[ "$(wc -w <<<"$pids")" = 4 ] || fail "not four ranks: $pids"
kill -STOP $pids
sleep 15
kill -CONT $pids
before=$(wc -l <"$work/suspended/metrics.jsonl")
until [ "$(wc -l <"$work/suspended/metrics.jsonl")" -gt $((before + 3)) ]; do
    kill -0 $job 2>/dev/null || fail "the job ended after it had been suspended"
    sleep 0.1
done
kill -USR1 $job
status=0
wait $job || status=$?
expect_same "status of the suspended job" 75 $status
