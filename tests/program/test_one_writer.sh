# A run folder has one writer, the newest job: an older one that still lives (a node that was cut
# off and came back) may not save any more, and what the newer one wrote stays.
source "$(dirname "$0")/common.sh" "$1"
train=("$regard" train --config $tiny --set eval.every=0
    --set checkpoint.every=60 --run "$work/run")

"${train[@]}" --set train.updates=60 >"$work/old.out" 2>"$work/old.err" &
old=$!
until [ -s "$work/run/metrics.jsonl" ]; do
    kill -0 $old 2>/dev/null || fail "the first job ended: $(cat "$work/old.err")"
    sleep 0.01
done
kill -STOP $old

expect_status 0 "${train[@]}" --set train.updates=2 --resume=auto
expect_said "starting at the beginning"
wanted=$(parameters_hash "$work/run/checkpoints/step-000002")

kill -CONT $old
status=0
wait $old || status=$?
[ "$status" = 1 ] || fail "status $status, not 1, of the older job: $(cat "$work/old.err")"
grep -q "another job (attempt 2) writes here now" "$work/old.err" ||
    fail "the older job said: $(cat "$work/old.err")"
expect_same "the newer job's parameters" "$wanted" \
    "$(parameters_hash "$work/run/checkpoints/step-000002")"
[ "$(ls -d "$work"/run/checkpoints/step-* | wc -l)" = 1 ] ||
    fail "not one checkpoint: $(ls "$work/run/checkpoints")"
[ "$(grep -c '"step":' "$work/run/metrics.jsonl")" = 2 ] ||
    fail "not two steps: $(cat "$work/run/metrics.jsonl")"
