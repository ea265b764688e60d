# task: reasoning: a run ends in the same bytes on one rank and on several, and when it goes on from
# a checkpoint; T5 and a decoder-only model; keys that would do nothing are refused.
set -euo pipefail
source tests/program/common.sh

settings=(--config configs/reasoning.yaml --set device=cpu --set train.updates=2 --set checkpoint.every=1
    --set eval.every=2 --set eval.dialogues=2 --set rollout.dialogues=4 --set rollout.candidates=2
    --set rollout.max_new_tokens=12 --set learn.microbatches=4 --set reward.sources=attention:1,random:1)

expect_status 0 "$regard" train "${settings[@]}" --run "$work/one"
wanted=$(parameters_hash "$(newest "$work/one")")
expect_status 0 run/mpirun -np 3 "$regard" train "${settings[@]}" --set roles.learners=2 --run "$work/three"
expect_same "three ranks" "$wanted" "$(parameters_hash "$(newest "$work/three")")"
expect_equal_metrics "$work/one/metrics.jsonl" "$work/three/metrics.jsonl"
rm -rf "$work/one/checkpoints/step-000002" "$work/one/checkpoints/best"
expect_status 0 "$regard" train "${settings[@]}" --run "$work/one" --resume
expect_same "resumed" "$wanted" "$(parameters_hash "$(newest "$work/one")")"
for metric in blocks return_blocks_correlation answer_missing; do
    grep -q "\"$metric\":" "$work/one/metrics.jsonl" || fail "no $metric in metrics.jsonl"
done

causal=(--set model.family=llama --set cot.block_form=steps --set advantage=turn --set cot.return=mean)
expect_status 0 "$regard" train "${settings[@]}" "${causal[@]}" --run "$work/causal"
wanted=$(parameters_hash "$(newest "$work/causal")")
expect_status 0 run/mpirun -np 2 "$regard" train "${settings[@]}" "${causal[@]}" --run "$work/causal-two"
expect_same "two ranks, decoder-only" "$wanted" "$(parameters_hash "$(newest "$work/causal-two")")"

refused() {
    local words=$1
    shift
    expect_status 1 "$regard" train "${settings[@]}" "$@" --run "$work/refused"
    grep -q "$words" "$work/err" || fail "stderr does not say: $words"
}
refused 'keys of cot do nothing without task: reasoning' --set task=dialogue --set cot.block=7
refused 'set rollout.turns to 1' --set rollout.turns=2
refused 'cot.lambda_final does nothing with advantage: group' --set advantage=group
refused 'cot.self_weight does nothing with a decoder-only model' "${causal[@]}" --set cot.self_weight=0.3
refused 'turns.lambda does nothing in task: reasoning' --set turns.lambda=[1,2]
refused 'random_salience draws no blocks' --set control=random_salience
