# Numbers that go wrong (guard): a bit that flips in a rank's weights is found within an update and
# names the rank, and no checkpoint has it; gradients and rewards that are too great skip the update on
# all learners alike, are counted over a resume, and end the run.
set -euo pipefail
source tests/program/common.sh

mpicc -std=gnu11 -O1 -Wall -Wextra -Werror -D_GNU_SOURCE -shared -fPIC -o "$work/flip.so" tests/faults/flip.c -ldl
settings=(--config $tiny --set threads=1 --set eval.every=0 --set checkpoint.every=1 --set train.updates=5)

export FAULT_BYTES=0
# flipped RANK WHO COUNT SETTINGS...: a run of four ranks that ends by the flip.
flipped() {
    local rank=$1 who=$2 count=$3
    shift 3
    rm -rf "$work/run"
    expect_status 70 ranks 4 -x LD_PRELOAD="$work/flip.so" -x FAULT_RANK="$rank" -x FAULT_WHO="$who" \
        -x FAULT_COUNT="$count" -x FAULT_BYTES "$regard" train "${settings[@]}" --run "$work/run" "$@"
}
# The checkpoints that there are hold what they held in the run without a flip.
expect_good() {
    local folder
    for folder in "$work/run"/checkpoints/step-??????; do
        [ -d "$folder" ] || continue
        expect_same "parameters of $(basename "$folder")" \
            "$(parameters_hash "$work/good/checkpoints/$(basename "$folder")")" "$(parameters_hash "$folder")"
    done
}

# The preload does not live beside a sanitizer.
if [ -z "$sanitized" ]; then
    expect_status 0 ranks 4 "$regard" train "${settings[@]}" --set roles.learners=2 --set checkpoint.keep=9 \
        --run "$work/good"
    # An update has 8 steps, of policy and critic in turn: the 17th is the policy's, of update 3.
    for who in learner own; do
        flipped 1 $who 17 --set roles.learners=2
        expect_said "rank 1 ($(hostname)), update 3: the weights of the policy changed in memory"
        expect_good
    done
    flipped 1 learner 18 --set roles.learners=2
    expect_said "rank 1 ($(hostname)), update 3: the weights of the critic changed in memory"
    expect_good
    # Parameters that a learner never got: its memory is as it was left, but not the others'.
    flipped 2 lost 18 --set roles.learners=4
    expect_said "update 2: other weights of the policy than the other learners hold: rank 2 ($(hostname)) ("
    expect_good
    # Of two nobody can say which is right: both are named, with what they hold.
    flipped 1 lost 17 --set roles.learners=2
    expect_said "update 3: learners hold different weights of the policy, and no hash is that of most: rank 0 ($(hostname)) "
    mapfile -t hashes < <(grep -oE "$(hostname)\) [0-9a-f]{16}" "$work/err" | grep -oE '[0-9a-f]{16}$')
    [ ${#hashes[@]} = 2 ] || fail "not two learners' hashes: ${hashes[*]}"
    [ "${hashes[0]}" != "${hashes[1]}" ] || fail "both hashes are ${hashes[0]}"
    expect_said ", 1 ($(hostname)) ${hashes[1]} (guard.replica_check)"
    expect_good
    # An actor's weights come to it when it begins, and with updates 1 and 2.
    export FAULT_BYTES=$((4 * $("$regard" train --config $tiny --dry-run --run "$work/dry" |
        sed -n 's/^# parameters: \([0-9]*\);.*/\1/p')))
    for lag in 0 1; do
        flipped 3 actor 3 --set roles.learners=2 --set pipeline.lag=$lag
        expect_said "rank 3 ($(hostname)), update $((3 + lag)): the weights of the policy changed in memory"
        [ $lag = 1 ] || expect_good
    done
    # So do its packed matrices, with which it makes its replies: the first of [32, 64], whole panels with any instructions.
    FAULT_BYTES=$((4 * 32 * 64))
    flipped 3 actor 3 --set roles.learners=2
    expect_said "rank 3 ($(hostname)), update 3: the policy's packed matrix of encoder.block.0.layer.1.DenseReluDense.wo.weight changed in memory"
    expect_good
    # Nobody looks: the run goes on with it.
    rm -rf "$work/run"
    expect_status 0 ranks 4 -x LD_PRELOAD="$work/flip.so" -x FAULT_RANK=1 -x FAULT_WHO=own \
        -x FAULT_COUNT=17 "$regard" train "${settings[@]}" --set roles.learners=2 \
        --set guard.replica_check=0 --run "$work/run"
    [ "$(parameters_hash "$(newest "$work/run")")" != "$(parameters_hash "$(newest "$work/good")")" ] ||
        fail "the flip has no effect"
fi

value() { sed -nE "s/.*\"step\":$2,\"reward\".*\"$3\":([-0-9.e]+)[,}].*/\1/p" "$1/metrics.jsonl"; }
policy_hash() { sed -nE "s/.*\"step\":$2,\"reward\".*\"policy_hash\":\"([0-9a-f]{16})\".*/\1/p" "$1/metrics.jsonl"; }

# A gradient that is too long, on all learners alike; the checkpoint counts on.
settings=(--config $tiny --set threads=1 --set eval.every=0 --set checkpoint.every=2 --set log.every=1)
skip=(--set guard.gradient_norm_max=1e-6 --set guard.max_skips=3)
expect_status 4 "$regard" train "${settings[@]}" "${skip[@]}" --run "$work/one"
expect_said "ended by guard.max_skips: 3 updates in a row were skipped" "longer than guard.gradient_norm_max"
expect_same "the last step" step-000003 "$(basename "$(newest "$work/one")")"
for step in 1 2 3; do
    expect_same "skipped" 1.0 "$(value "$work/one" $step skipped)"
    expect_same "total" "$step.0" "$(value "$work/one" $step skipped_total)"
    expect_same "hash" "$(policy_hash "$work/one" 1)" "$(policy_hash "$work/one" $step)"
done
expect_status 4 ranks 3 "$regard" train "${settings[@]}" "${skip[@]}" --set roles.learners=2 --run "$work/three"
expect_equal_metrics "$work/one/metrics.jsonl" "$work/three/metrics.jsonl"
# Stopped after two of them and resumed: the third ends it.
expect_status 0 "$regard" train "${settings[@]}" "${skip[@]}" --set train.updates=2 --run "$work/resumed"
expect_status 4 "$regard" train "${settings[@]}" "${skip[@]}" --run "$work/resumed" --resume
expect_equal_metrics "$work/one/metrics.jsonl" "$work/resumed/metrics.jsonl"
expect_same "parameters" "$(parameters_hash "$(newest "$work/one")")" "$(parameters_hash "$(newest "$work/resumed")")"
# After the end it goes on: to as many skips again, or further where what was wrong is changed.
expect_status 4 ranks 3 "$regard" train "${settings[@]}" "${skip[@]}" --set roles.learners=2 --set train.updates=9 \
    --run "$work/three" --resume
expect_said "ended by guard.max_skips: 3 updates in a row were skipped"
expect_same "the last step" step-000006 "$(basename "$(newest "$work/three")")"
expect_same "total" 6.0 "$(value "$work/three" 6 skipped_total)"
expect_status 0 "$regard" train "${settings[@]}" --set guard.max_skips=3 --change guard.gradient_norm_max=0 \
    --set train.updates=4 --run "$work/one" --resume
expect_same "skipped" 0.0 "$(value "$work/one" 4 skipped)"
expect_same "total" 3.0 "$(value "$work/one" 4 skipped_total)"
[ "$(policy_hash "$work/one" 4)" != "$(policy_hash "$work/one" 1)" ] || fail "nothing was learned after the change"
# Without an end it goes on.
expect_status 0 "$regard" train "${settings[@]}" --set guard.gradient_norm_max=1e-6 --set guard.max_skips=0 \
    --set train.updates=4 --run "$work/endless"
expect_same "total" 4.0 "$(value "$work/endless" 4 skipped_total)"

# A reward that is too great: no step, and nothing of it enters the running statistics.
expect_status 4 "$regard" train "${settings[@]}" --set guard.reward_max=1e-3 --set guard.max_skips=2 --run "$work/reward"
expect_said "update 2 was skipped" "beyond guard.reward_max (0.001)"
expect_same "hash" "$(policy_hash "$work/one" 1)" "$(policy_hash "$work/reward" 2)"

# Supervised runs too.
expect_status 4 ranks 2 "$regard" sft --config $tiny --set threads=1 --set guard.gradient_norm_max=1e-6 \
    --set guard.max_skips=2 --set log.every=1 --run "$work/sft"
grep -q '"step":2,.*"skipped":1.0,"skipped_total":2.0,' "$work/sft/metrics.jsonl" || fail "sft counts otherwise"
