# pipeline.lag 2 and more: no rank waits for another's slow batch where one is there already.  The order is
# forced, so that whoever waited would wait for ever: a source of reward holds one batch until the learner
# has made two updates without it, and an evaluation until actors have begun the batch after the next.  Then
# a signal to one actor alone, and an actor that fails.
set -euo pipefail
source tests/program/common.sh

# What the source of reward does with a dialogue before it answers; $rank is the asking one's.
cat >"$work/judge.sh" <<'EOF'
work=$1 rank=${OMPI_COMM_WORLD_RANK:-0}
updates() { grep -c '"loss":' "$work/run/metrics.jsonl" 2>"$work/none" || true; }
until_updates() { while [ "$(updates)" -lt "$1" ]; do sleep 0.01; done; }
# The rank's process, above the shells that it started.
own_rank() {
    local process=$PPID
    while [ "$(cat "/proc/$process/comm")" != regard ]; do
        process=$(sed -n 's/^PPid:[^0-9]*//p' "/proc/$process/status")
    done
    echo "$process"
}
source "$work/case.sh"
while IFS= read -r line; do
    id=${line#*'"id":"'} id=${id%%'"'*}
    dialogue=${id%%/*}
    asked
    printf '{"id":"%s","reward":%d}\n' "$id" $((dialogue % 5))
done
EOF
train=("$regard" train --config $tiny --set threads=1 --set train.updates=6 --set log.every=1
    --set eval.every=0 --set reward.sources=command --set reward.command_seconds=30
    --set reward.command="bash $work/judge.sh $work")
of_batch() { echo "[ \$rank != 0 ] && [ \$((dialogue / 4)) = $1 ]"; }

# reference LAG SETTINGS...: of one rank, whose hash is $wanted.
reference() {
    echo 'asked() { :; }' >"$work/case.sh"
    rm -rf "$work/run" "$work/alone"
    expect_status 0 "${train[@]}" --set "pipeline.lag=$1" "${@:2}" --run "$work/alone"
    wanted=$(parameters_hash "$work/alone/checkpoints/newest")
}
expect_reference() { expect_same "$1" "$wanted" "$(parameters_hash "$work/run/checkpoints/newest")"; }

# Batch 2 is made after the updates from batches 0 and 1.
reference 2
cat >"$work/case.sh" <<EOF
asked() { if $(of_batch 2); then until_updates 2; fi; }
EOF
expect_status 0 ranks 3 "${train[@]}" --set pipeline.lag=2 --run "$work/run"
expect_reference "a batch that comes late"
rm -rf "$work/run"
expect_status 0 ranks 4 "${train[@]}" --set pipeline.lag=2 --set roles.learners=2 --set infer.batch=2 \
    --run "$work/run"
expect_reference "a batch that comes late, two learners, work that moves"

# The evaluation after update 2 ends when batch 4, of that update's weights, has been begun.
reference 2 --set eval.every=2
cat >"$work/case.sh" <<EOF
asked() {
    if $(of_batch 4); then touch "$work/begun"; fi
    if [ \$rank = 0 ] && [ "\$(updates)" -ge 2 ]; then
        while [ ! -e "$work/begun" ]; do sleep 0.01; done
    fi
}
EOF
expect_status 0 ranks 3 "${train[@]}" --set pipeline.lag=2 --set eval.every=2 --run "$work/run"
expect_reference "a long evaluation"
expect_equal_metrics "$work/alone/metrics.jsonl" "$work/run/metrics.jsonl"

# One actor alone is asked to stop; what is ahead then is dropped and made again.
reference 3
cat >"$work/case.sh" <<EOF
asked() { if $(of_batch 4) && mkdir "$work/told" 2>"$work/none"; then kill -USR1 "\$(own_rank)"; fi; }
EOF
expect_status 75 ranks 3 "${train[@]}" --set pipeline.lag=3 --run "$work/run"
made=$(newest "$work/run")
[ "${made##*-}" -ge 1 ] && [ "${made##*-}" -lt 6 ] || fail "stopped at $made"
expect_status 0 ranks 4 "${train[@]}" --set pipeline.lag=3 --set roles.learners=2 --run "$work/run" --resume
expect_reference "stopped by a signal to one actor, resumed"

# An actor that is ahead and fails ends all ranks, with one line.
echo 'asked() { if [ "$dialogue" = 20 ]; then exit 3; fi; }' >"$work/case.sh"
rm -rf "$work/run"
expect_status 1 ranks 3 "${train[@]}" --set pipeline.lag=4 --run "$work/run"
expect_said_once "reward.command (bash $work/judge.sh $work)"
