# task: reasoning: a run ends in the same bytes on one rank and on several, after a kill, and when it
# goes on from a checkpoint; T5 and a decoder-only model; held-out metrics do not depend on the
# batch; keys that would do nothing are refused.
set -euo pipefail
source tests/program/common.sh

model=(--set tokenizer.path=bytes --set model.d_model=32 --set model.d_kv=8 --set model.d_ff=64)
settings=(--config configs/reasoning.yaml "${model[@]}" --set device=cpu --set train.updates=2
    --set checkpoint.every=1 --set eval.every=2 --set eval.dialogues=2 --set rollout.dialogues=4
    --set rollout.candidates=2 --set rollout.max_new_tokens=12 --set advantage=gae
    --set cot.lambda_final=2 --set reward.sources=attention:1,random:1,verifier:1)

expect_status 0 "$regard" train "${settings[@]}" --run "$work/one"
wanted=$(parameters_hash "$(newest "$work/one")")
expect_status 0 run/mpirun -np 3 "$regard" train "${settings[@]}" --set roles.learners=2 --run "$work/three"
expect_same "three ranks" "$wanted" "$(parameters_hash "$(newest "$work/three")")"
expect_equal_metrics "$work/one/metrics.jsonl" "$work/three/metrics.jsonl"
rm -rf "$work/one/checkpoints/step-000002" "$work/one/checkpoints/best"
expect_status 0 "$regard" train "${settings[@]}" --run "$work/one" --resume
expect_same "resumed" "$wanted" "$(parameters_hash "$(newest "$work/one")")"
for metric in blocks return_blocks_correlation answer_missing eval_exact_strict eval_exact_flexible \
    eval_answer_missing eval_reasoning_tokens eval_reasoning_ms; do
    grep -q "\"$metric\":" "$work/one/metrics.jsonl" || fail "no $metric in metrics.jsonl"
done

# Killed after a checkpoint, it goes on on other ranks and ends as one that was not.
long=("${settings[@]}" --set train.updates=5)
slow_disk
expect_status 0 "$regard" train "${long[@]}" --run "$work/whole"
"${disk[@]}" FAULT_SLOW=150 "$regard" train "${long[@]}" --run "$work/killed" >"$work/out" 2>"$work/err" &
job=$!
for _ in $(seq 2400); do
    if [ -d "$work/killed/checkpoints/step-000001" ]; then break; fi
    kill -0 $job 2>/dev/null || fail "the run ended before its first checkpoint"
    sleep 0.01
done
kill -KILL $job
{ wait $job; } 2>/dev/null || true
[ ! -d "$work/killed/checkpoints/step-000005" ] || fail "the run was over before it was killed"
expect_status 0 run/mpirun -np 2 "$regard" train "${long[@]}" --run "$work/killed" --resume
expect_same "killed" "$(parameters_hash "$(newest "$work/whole")")" \
    "$(parameters_hash "$(newest "$work/killed")")"
expect_equal_metrics "$work/whole/metrics.jsonl" "$work/killed/metrics.jsonl"

# expect_scored_alike RUN SETTINGS...: its model's replies do not depend on the batch, and are scored
# with the bits that they were sampled with.
expect_scored_alike() {
    local run=$1 batch
    shift
    for batch in 1 64; do
        expect_status 0 "$regard" generate "$@" --set infer.batch=$batch --model "$work/$run" \
            --data "$work/questions.jsonl" --out "$work/$run-replies-$batch.jsonl"
    done
    cmp "$work/$run-replies-1.jsonl" "$work/$run-replies-64.jsonl" || fail "$run: replies depend on the batch"
    expect_status 0 "$regard" score "$@" --model "$work/$run" \
        --data "$work/$run-replies-64.jsonl" --out "$work/scored.jsonl"
    grep -o '"logp":[^]]*]' "$work/$run-replies-64.jsonl" >"$work/logp.sampled"
    grep -o '"logp":[^]]*]' "$work/scored.jsonl" >"$work/logp.scored"
    [ "$(wc -l <"$work/logp.scored")" = 10 ] || fail "not 10 replies"
    cmp "$work/logp.sampled" "$work/logp.scored" || fail "$run: scored otherwise than sampled"
}

# cot.reason_tokens: after so many tokens the marker is put, on any number of ranks, alone or in a
# batch; what was put is scored as it is sampled.
capped=("${settings[@]}" --set cot.reason_tokens=3)
expect_status 0 "$regard" train "${capped[@]}" --run "$work/capped"
wanted=$(parameters_hash "$(newest "$work/capped")")
grep -q '"answer_forced":8.0[,}]' "$work/capped/metrics.jsonl" || fail "not every reply got the marker"
grep -q '"answer_missing":0.0[,}]' "$work/capped/metrics.jsonl" || fail "an answer is missing"
grep -q '"ratio_deviation_first":0.0[,}]' "$work/capped/metrics.jsonl" || fail "the trainer sees other bits"
expect_status 0 run/mpirun -np 3 "$regard" train "${capped[@]}" --set roles.learners=2 \
    --set infer.batch=1 --run "$work/capped-three"
expect_same "capped, three ranks" "$wanted" "$(parameters_hash "$(newest "$work/capped-three")")"
rm -rf "$work/capped/checkpoints/step-000002" "$work/capped/checkpoints/best"
expect_status 0 "$regard" train "${capped[@]}" --run "$work/capped" --resume
expect_same "capped, resumed" "$wanted" "$(parameters_hash "$(newest "$work/capped")")"
capped+=(--set reward.sources=attention) # what is generated is no data line that verifies
"$regard" import-data --data reasoning:3:5:1 --out "$work/questions.jsonl" 2>"$work/err"
expect_scored_alike capped "${capped[@]}"
grep -c '"reply_tokens":\[[0-9]*,[0-9]*,[0-9]*,38,38,38,38,35,' "$work/capped-replies-64.jsonl" | grep -qx 10 ||
    fail "the marker does not stand behind three tokens"

# cot.history: reencode: the encoder reads every block's history anew, in sampling, scoring, learning
# and sft.
anew=("${settings[@]}" --set cot.history=reencode)
expect_status 0 "$regard" train "${anew[@]}" --run "$work/anew"
wanted=$(parameters_hash "$(newest "$work/anew")")
grep -q '"ratio_deviation_first":0.0[,}]' "$work/anew/metrics.jsonl" || fail "the trainer sees other bits"
expect_status 0 run/mpirun -np 3 "$regard" train "${anew[@]}" --set roles.learners=2 \
    --set infer.batch=1 --run "$work/anew-three"
expect_same "reencode, three ranks" "$wanted" "$(parameters_hash "$(newest "$work/anew-three")")"
expect_equal_metrics "$work/anew/metrics.jsonl" "$work/anew-three/metrics.jsonl"
rm -rf "$work/anew/checkpoints/step-000002" "$work/anew/checkpoints/best"
expect_status 0 "$regard" train "${anew[@]}" --run "$work/anew" --resume
expect_same "reencode, resumed" "$wanted" "$(parameters_hash "$(newest "$work/anew")")"
expect_scored_alike anew "${anew[@]}" --set reward.sources=attention
group=(--set advantage=group --set cot.lambda_final=1 --set group.filter=true --set scorer=frozen
    --set cot.block_form=steps --set reward.sources=attention:0,random:1)
expect_status 0 "$regard" train "${anew[@]}" "${group[@]}" --run "$work/filtered"
wanted=$(parameters_hash "$(newest "$work/filtered")")
expect_status 0 run/mpirun -np 3 "$regard" train "${anew[@]}" "${group[@]}" --set roles.learners=2 \
    --run "$work/filtered-three"
expect_same "reencode, filtered" "$wanted" "$(parameters_hash "$(newest "$work/filtered-three")")"
# A problem of one step is 9 blocks of 5 bytes or more, each an example.
expect_status 0 "$regard" sft "${anew[@]}" --set data.train=reasoning:1:2:1 --set sft.updates=1 \
    --set sft.batch=16 --run "$work/sft"
expect_status 1 "$regard" sft "${settings[@]}" --set data.train=reasoning:1:2:1 --set sft.updates=1 \
    --set sft.batch=16 --run "$work/sft-joint"
expect_said "has 2 turns to learn from"

# Sub-blocks have weights of their own in the return: another run, the same on three ranks.  This
# model writes no tags; tests/rollout/test_sub_blocks.c has replies with some.
deep=("${settings[@]}" --set data.train=nested:1:40:2 --set cot.depth_lambda=[0.5,2])
expect_status 0 "$regard" train "${deep[@]}" --run "$work/deep"
wanted=$(parameters_hash "$(newest "$work/deep")")
expect_status 0 run/mpirun -np 3 "$regard" train "${deep[@]}" --set roles.learners=2 --run "$work/deep-three"
expect_same "sub-blocks, three ranks" "$wanted" "$(parameters_hash "$(newest "$work/deep-three")")"
expect_equal_metrics "$work/deep/metrics.jsonl" "$work/deep-three/metrics.jsonl"
for metric in blocks_depth_0 blocks_depth_1 blocks_depth_2 sub_unbalanced; do
    grep -q "\"$metric\":" "$work/deep/metrics.jsonl" || fail "no $metric in metrics.jsonl"
    ! grep -q "\"$metric\":" "$work/one/metrics.jsonl" || fail "$metric without cot.depth_lambda"
done
expect_status 0 "$regard" train "${deep[@]}" --set cot.depth_lambda=[1,2] --run "$work/deep-one"
[ "$wanted" != "$(parameters_hash "$(newest "$work/deep-one")")" ] || fail "cot.depth_lambda weighs nothing"

# Held-out metrics are the same bytes whatever the batch; steps and equations are those of the text.
for batch in 1 64; do
    expect_status 0 "$regard" eval "${settings[@]}" --set infer.batch=$batch --model "$work/one" \
        --data reasoning:3:5:1 --out "$work/eval-$batch.json"
    expect_said "a sampled token took"
done
cmp "$work/eval-1.json" "$work/eval-64.json" || fail "metrics depend on the batch"
for metric in exact_strict step_precision step_recall valid_equations answer_missing; do
    grep -q "\"$metric\":" "$work/eval-1.json" || fail "eval has no $metric"
done
expect_status 0 "$regard" eval "${settings[@]}" --compare "$work/eval-1.json" "$work/eval-64.json"
grep -q '^step_recall ' "$work/out" || fail "eval --compare has no step_recall"

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
refused 'cot.lambda_final does nothing with advantage: group' --set advantage=group --set cot.lambda_final=3
refused 'cot.self_weight does nothing with a decoder-only model' "${causal[@]}" --set cot.self_weight=0.3
refused 'turns.lambda does nothing in task: reasoning' --set turns.lambda=[1,2]
refused 'eval.history: own does nothing in task: reasoning' --set eval.history=own
refused "an answer has no room: rollout.max_new_tokens (12) must .* (7 + 5)" --set cot.reason_tokens=7
refused 'cot.reason_tokens (12) must be below rollout.max_new_tokens (12)' --set cot.reason_tokens=12
refused 'cot.history: reencode is for encoder-decoders' --set cot.history=reencode --set model.family=llama
refused 'cot.depth_lambda needs cot.history: joint' --set cot.history=reencode --set cot.depth_lambda=[1,2]
refused 'cot.depth_lambda does nothing with advantage: group' --set advantage=group --set cot.lambda_final=1 \
    --set cot.depth_lambda=0.5
refused 'cot.depth_lambda does nothing with sources that reward whole replies' \
    --set reward.sources=verifier --set cot.depth_lambda=0.5
refused 'cot.self_weight does nothing with cot.history: reencode' --set cot.history=reencode --set cot.self_weight=0.2
refused 'cot.reason_tokens needs cot.history: joint' --set cot.history=reencode --set cot.reason_tokens=4
refused 'attention.all_heads needs cot.history: joint' --set cot.history=reencode --set attention.all_heads=true
refused 'sequence need cot.history: joint' --set cot.history=reencode --set ppo.loss=sequence
refused 'random_salience draws no blocks' --set control=random_salience
# A vocabulary that has no # cannot write the marker: nothing is put, or looked for, in its place.
expect_status 0 "$regard" tokenizer train --data synthetic:1:100 --set tokenizer.vocabulary=100 --out "$work/words"
for key in cot.reason_tokens=4 cot.history=reencode; do
    refused 'vocabulary cannot write cot.answer_marker' --set $key --set "tokenizer.path=$work/words"
done
