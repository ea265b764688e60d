# What options of learning remember is in checkpoints: runs that were cut short and gone on with, by
# other ranks, end as whole ones; what a resume may not change is refused.
set -euo pipefail
source tests/program/common.sh

short=(--set threads=1 --set train.updates=4 --set checkpoint.every=3 --set eval.every=0)
last() { sed -n "s/.*\"$2\":\([^,}]*\).*/\1/p" "$1/metrics.jsonl" | tail -1; }

# cut_and_resumed NAME RANKS RANKS SETTINGS...: a whole run of so many ranks, one that lost what came
# after update 3 and went on with others.
cut_and_resumed() {
    local name=$1 first=$2 second=$3
    local train=("$regard" train --config $tiny "${short[@]}" "${@:4}" --run "$work/$name")
    expect_status 0 ranks "$first" "${train[@]}"
    cp -r "$work/$name" "$work/$name-whole"
    local checkpoints=$work/$name/checkpoints
    rm -rf "$checkpoints/step-000004" "$checkpoints/newest" "$checkpoints/best"
    local learners=1
    if [ "$second" = 2 ]; then learners=2; fi
    expect_status 0 ranks "$second" "${train[@]}" --set roles.learners=$learners --resume
    expect_said "going on from"
    expect_same "$name, resumed" "$(parameters_hash "$(newest "$work/$name-whole")")" \
        "$(parameters_hash "$(newest "$work/$name")")"
    expect_equal_metrics "$work/$name-whole/metrics.jsonl" "$work/$name/metrics.jsonl"
}

# The reference moves after update 2: in the checkpoint of update 3 it is neither the first model nor
# the policy.
cut_and_resumed moving 0 3 --set reference.every=2 --set kl.coef=1
grep '^{"step":3,' "$work/moving/metrics.jsonl" | grep -q '"kl_behaviour":0.0,' ||
    fail "update 3 is not measured from the policy as it was after update 2"
expect_status 1 "$regard" train --config $tiny "${short[@]}" --set train.updates=5 --set kl.coef=1 \
    --set reference.every=3 --run "$work/moving" --resume
expect_said "key reference.every differs from the run that is resumed"
# What does nothing is refused of a run that begins, and told of one that goes on: it may not drop it.
rm -rf "$work/moving/checkpoints"/{step-000004,newest,best}
idle=(train --config $tiny "${short[@]}" --set train.updates=2 --set kl.coef=1 --set reference.every=2)
expect_status 1 "$regard" "${idle[@]}" --run "$work/idle" --resume=auto
expect_line "reference.every: 2 does nothing within train.updates: 2"
expect_status 0 "$regard" "${idle[@]}" --run "$work/moving" --resume
expect_said "warning: reference.every: 2 does nothing within train.updates: 2" "the run that goes on keeps it"

# With adapters, new and given.
adapters=(--set adapter.rank=2 --set policy.lr=1e-2 --set reference.every=2 --set kl.coef=1)
cut_and_resumed adapters 0 2 "${adapters[@]}"
grep '^{"step":3,' "$work/adapters/metrics.jsonl" | grep -q '"kl_behaviour":0.0,' ||
    fail "new adapters' reference did not follow them"
grep -m1 kl_behaviour "$work/adapters/metrics.jsonl" | grep -q '"kl_behaviour":0.0,' ||
    fail "the first reference is not the base"

cut_and_resumed centred 0 3 --set returns.center=true --set credit.form=random --set rollout.interrupt=0.4 \
    --set entropy.coef=0.01 --set reward.overlong=0.5 --set ppo.form=cispo --set pipeline.lag=3
[ "$(last "$work/centred" reward_center)" != 0.0 ] || fail "no mean was taken off"

cut_and_resumed group 0 2 --set advantage=group --set group.form=global --set group.filter=true --set reward.sources=random \
    --set credit.form=entropy --set ppo.ratio=sequence --set ppo.clip_high=0.2 --set ppo.loss=constant
[ "$(grep -c '"ratio_deviation_first":0.0,' "$work/group/metrics.jsonl")" = 4 ] ||
    fail "what samples and what learns differ"
