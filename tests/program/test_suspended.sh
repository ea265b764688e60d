# A whole job that was stopped for longer than watchdog.seconds goes on, as a suspended one must.
source "$(dirname "$0")/common.sh" "$1"
patience=3
if [ "$sanitized" ]; then patience=8; fi
train=("$regard" train --config $tiny --set threads=1 --set watchdog.seconds=$patience
    --set train.updates=100000 --set eval.every=0)
run/mpirun -np 3 "${train[@]}" --run "$work/suspended" >"$work/out" 2>"$work/err" &
job=$!
lines() { cat "$work/suspended/metrics.jsonl" 2>/dev/null | wc -l; }
until [ "$(lines)" -gt 0 ]; do
    kill -0 $job 2>/dev/null || fail "the job ended"
    sleep 0.1
done
ranks=$(pgrep -f -- "^$regard .*--run $work/suspended\$")
[ "$(wc -w <<<"$ranks")" = 3 ] || fail "not three ranks: $ranks"
kill -STOP $ranks
sleep $((patience + 1))
kill -CONT $ranks
before=$(lines)
until [ "$(lines)" -gt $((before + 3)) ]; do
    kill -0 $job 2>/dev/null || fail "the job ended after it had been suspended"
    sleep 0.1
done
kill -USR1 $job
status=0
wait $job || status=$?
expect_same "status of the suspended job" 75 $status
