# Adapters through the whole program: the bits of a run on any ranks and after a stop, what its
# checkpoints and messages hold, PEFT folders in and out, merged exports, what is refused.
set -euo pipefail
source tests/program/common.sh

adapters=(--set threads=1 --set adapter.rank=4 --set adapter.targets=q,v,wo --set policy.lr=1e-2
    --set eval.dialogues=2 --set train.updates=6 --set eval.every=6 --set checkpoint.every=3)
train=("$regard" train --config $tiny "${adapters[@]}")

# Ranks, learners and lag.
expect_status 0 env REGARD_LOG=debug run/mpirun -np 3 "${train[@]}" --run "$work/run"
trained=$("$regard" inspect "$work/run/checkpoints/newest" | sed -n 's/^tensors [0-9]*, parameters //p')
base=$("$regard" inspect "$work/run/checkpoints/newest" | sed -n 's/^base .*, parameters \([0-9]*\), .*/\1/p')
[ "$trained" -lt $((base / 10)) ] || fail "$trained of $base parameters are trained"
expect_said "$trained weights and"
whole=$(parameters_hash "$work/run/checkpoints/step-000006")
[ "$whole" != "$(parameters_hash "$work/run/checkpoints/step-000003")" ] || fail "nothing was learned"
expect_status 0 run/mpirun -np 2 "${train[@]}" --set roles.learners=2 --run "$work/both"
expect_same "two ranks of both roles" "$whole" "$(parameters_hash "$work/both/checkpoints/newest")"
expect_status 0 run/mpirun -np 3 "${train[@]}" --set roles.learners=2 --set learn.recompute=true --run "$work/two"
expect_same "two learners" "$whole" "$(parameters_hash "$work/two/checkpoints/newest")"
expect_equal_metrics "$work/run/metrics.jsonl" "$work/two/metrics.jsonl"
[ "$(grep -c '"ratio_deviation_first":0.0,' "$work/run/metrics.jsonl")" = 6 ] ||
    fail "what samples and what learns differ"
expect_status 0 "${train[@]}" --set pipeline.lag=1 --run "$work/lag"
expect_status 0 run/mpirun -np 2 "${train[@]}" --set pipeline.lag=1 --run "$work/lag2"
expect_same "lag 1" "$(parameters_hash "$work/lag/checkpoints/newest")" \
    "$(parameters_hash "$work/lag2/checkpoints/newest")"

# A stop and a resume; the base is checked, and stored once.
rm -r "$work/both/checkpoints/step-000006" "$work/both/checkpoints/newest" "$work/both/checkpoints/best"
expect_status 0 run/mpirun -np 3 "${train[@]}" --run "$work/both" --resume
expect_same "a resumed run" "$whole" "$(parameters_hash "$work/both/checkpoints/newest")"
size=$(stat -c %s "$work/run/checkpoints/step-000006/model.h5")
[ "$size" -lt $((base * 4 / 2)) ] || fail "a checkpoint's model.h5 has $size bytes"
[ -s "$work/run/base/model.h5" ] || fail "the base of a new model is nowhere"
expect_status 1 "${train[@]}" --run "$work/run" --resume --set adapter.rank=5
expect_said "key adapter.rank differs from the run that is resumed"

# The reference is the base: where the policy is still its base, KL is zero.
grep -m1 kl_behaviour "$work/run/metrics.jsonl" | grep -q '"kl_behaviour":0.0,' || fail "the first KL is not of the base"
expect_status 0 "${train[@]}" --set scorer=frozen --set train.updates=2 --set eval.every=0 --run "$work/frozen"
expect_status 0 run/mpirun -np 2 "${train[@]}" --set scorer=frozen --set train.updates=2 --set eval.every=0 \
    --set adapter.path= --run "$work/frozen2"
expect_same "scorer: frozen" "$(parameters_hash "$work/frozen/checkpoints/newest")" \
    "$(parameters_hash "$work/frozen2/checkpoints/newest")"

# sft on a Hugging Face folder, then out as PEFT's and merged, and in again.
expect_status 0 "$regard" export --model "$work/run/base" --set tokenizer.path=bytes --out "$work/hf"
expect_status 0 "$regard" sft --config $tiny --set model.path="$work/hf" --set adapter.rank=2 \
    --set adapter.alpha=6 --set data.valid= --set eval.every=0 --set sft.updates=8 --set sft.batch=4 \
    --set sft.lr=3e-2 --run "$work/sft"
expect_status 0 "$regard" export --model "$work/sft" --out "$work/peft"
expect_status 0 "$regard" export --model "$work/sft" --merge --out "$work/merged"
grep -q "\"base_model_name_or_path\": \"$(realpath "$work/hf")\"" "$work/peft/adapter_config.json" ||
    fail "adapter_config.json does not name the base"
[ ! -e "$work/peft/model.safetensors" ] || fail "a PEFT folder holds a whole model"
expect_same "adapters by way of PEFT" "$(parameters_hash "$work/sft/checkpoints/newest")" "$(parameters_hash "$work/peft")"
printf '%s\n' '{"id":"a","history_tokens":[70,71,72,73,1],"reply_tokens":[80,81,82,1]}' \
    '{"id":"b","history_tokens":[100,90,80,1],"reply_tokens":[99,98,1]}' >"$work/lines"
for model in sft peft merged hf; do
    expect_status 0 "$regard" score --model "$work/$model" --data "$work/lines" --out "$work/$model.jsonl" \
        --set reward.scale=none
done
expect_status 0 "$regard" score --model "$work/hf" --set adapter.path="$work/peft" --data "$work/lines" \
    --out "$work/with.jsonl" --set reward.scale=none
expect_equal_files "$work/sft.jsonl" "$work/peft.jsonl"
expect_equal_files "$work/sft.jsonl" "$work/with.jsonl"
python3 - "$work/sft.jsonl" "$work/merged.jsonl" "$work/hf.jsonl" <<'PYTHON' || fail "merged or base scores"
import json, sys
adapted, merged, base = ([x for line in open(path) for x in json.loads(line)["logp"]] for path in sys.argv[1:])
near = max(abs(a - b) for a, b in zip(adapted, merged))
far = max(abs(a - b) for a, b in zip(adapted, base))
sys.exit(not (near < 1e-4 < 0.01 < far))
PYTHON

# What is sampled is what is scored, with adapters; text goes by the base's tokenizer.
printf '%s\n' '{"messages":[{"role":"user","content":"Is the museum open?"}]}' >"$work/ask"
expect_status 0 "$regard" generate --model "$work/peft" --data "$work/ask" --out "$work/said.jsonl" \
    --set rollout.candidates=3 --set rollout.max_new_tokens=9 --set reward.scale=none
expect_status 0 "$regard" score --model "$work/peft" --data "$work/said.jsonl" --out "$work/scored.jsonl" \
    --set reward.scale=none
python3 - "$work/said.jsonl" "$work/scored.jsonl" <<'PYTHON' || fail "sampler and scorer differ"
import json, sys
said, scored = ([json.loads(line) for line in open(path)] for path in sys.argv[1:])
sys.exit(not (len(said) == len(scored) == 3 and all(a["logp"] == b["logp"] for a, b in zip(said, scored))))
PYTHON

# A run that begins with those adapters goes on from them; one that begins with their folder as its
# model has them in its base.  KL begins at zero in both.
start=(--set data.valid= --set eval.every=0 --set train.updates=2)
expect_status 0 "${train[@]}" "${start[@]}" --set model.path="$work/hf" --set adapter.path="$work/peft" \
    --set adapter.rank=0 --run "$work/on"
expect_status 0 "${train[@]}" "${start[@]}" --set model.path="$work/sft" --run "$work/over"
expect_status 0 "${train[@]}" "${start[@]}" --set model.path="$work/sft" --set adapter.rank=0 --run "$work/full"
for run in on over full; do
    grep -m1 kl_behaviour "$work/$run/metrics.jsonl" | grep -q '"kl_behaviour":0.0,' || fail "$run: KL does not begin at zero"
done
"$regard" inspect "$work/on/checkpoints/newest" | grep -q 'rank 2, alpha 6, on q,v' || fail "other adapters"
expect_same "the base under new adapters" "$(parameters_hash "$work/merged")" \
    "$("$regard" inspect "$work/over/checkpoints/newest" | sed -n 's/^base .*sha256 //p')"
expect_same "the tensors of a whole model" "$("$regard" inspect "$work/hf" | grep '^tensors')" \
    "$("$regard" inspect "$work/full/checkpoints/newest" | grep '^tensors')"

# A decoder-only model: one base under the policy, the sampler, the critic and the reference.
causal=("$regard" train --config $tiny --set threads=1 --set model.family=qwen2 --set adapter.rank=2
    --set policy.lr=1e-2 --set rollout.turns=3 --set scorer=frozen --set train.updates=3 --set eval.every=0)
expect_status 0 "${causal[@]}" --run "$work/causal"
expect_status 0 run/mpirun -np 3 "${causal[@]}" --set roles.learners=2 --run "$work/causal3"
expect_same "a causal model's adapters" "$(parameters_hash "$work/causal/checkpoints/newest")" \
    "$(parameters_hash "$work/causal3/checkpoints/newest")"
"$regard" inspect "$work/causal/checkpoints/newest" |
    grep -q "on q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj" || fail "other parts"
[ "$(grep -c '"ratio_deviation_first":0.0,' "$work/causal/metrics.jsonl")" = 3 ] ||
    fail "a causal model's sampler and learner differ"

# `update` leaves adapters alone, on the model they are for.
printf '%s\n' '{"id":"a","history_tokens":[70,71,1],"reply_tokens":[80,81,1],"logp":[-5,-5,-5],"advantage":1}' >"$work/batch"
expect_status 0 "$regard" update --model "$work/hf" --set adapter.rank=2 --set learn.microbatches=1 \
    --data "$work/batch" --out "$work/updated"
"$regard" inspect "$work/updated" | grep -q "^base $(realpath "$work/hf"), " || fail "update names no base"
expect_status 0 "$regard" update --model "$work/updated" --set learn.microbatches=1 --data "$work/batch" \
    --out "$work/again"

# The dry run says what is trained.
expect_status 0 "${train[@]}" --dry-run --run "$work/dry"
grep -q "^# adapters: $trained parameters are trained, $base of the base stand still" "$work/out" ||
    fail "the dry run does not say what is trained"

# Refusals: one line that says what and where.
expect_status 1 "${train[@]}" --set adapter.targets=q,q_proj --run "$work/no"
expect_line "no part q_proj; it has q, k, v, o, wi_0, wi_1, wo"
expect_status 1 "${train[@]}" --set adapter.path="$work/peft" --run "$work/no"
expect_line "adapter.path needs the model"
expect_status 1 "${train[@]}" --set model.path="$work/hf" --set adapter.path="$work/hf" --run "$work/no"
expect_line "holds no adapters"
expect_status 1 "${train[@]}" --set model.path="$work/hf" --set adapter.path="$work/peft" --run "$work/no"
expect_line "adapter.rank is 4, the adapters in $work/peft have 2"
refuse() { # SED WORDS: a PEFT folder whose adapter_config.json is edited so
    cp -r "$work/peft" "$work/edited"
    sed -i "$1" "$work/edited/adapter_config.json"
    expect_status 1 "$regard" inspect "$work/edited"
    expect_line "$2"
    rm -r "$work/edited"
}
refuse 's/"use_dora": false/"use_dora": true/' "use_dora is not supported"
refuse 's/"bias": "none"/"bias": "all"/' "bias all is not supported"
refuse 's/"modules_to_save": null/"modules_to_save": ["lm_head"]/' "modules_to_save is not supported"
refuse 's/"bias": "none",/"bias": "none", "rank_pattern": {"q": 4},/' "rank_pattern is not supported"
refuse 's/"peft_type": "LORA"/"peft_type": "IA3"/' "peft_type IA3 is not supported"
refuse 's/"r": 2/"r": 3/' "its shape is [2, 32], the base and r ask for [3, 32]"
refuse 's/"target_modules": \["q", "v"\]/"target_modules": ["q"]/' "unexpected tensor base_model.model."
refuse 's/"target_modules": \["q", "v"\]/"target_modules": ["q", "v", "o"]/' "missing tensor base_model.model."
refuse 's#"base_model_name_or_path": "[^"]*"#"base_model_name_or_path": "google/t5"#' \
    "adapters for the model google/t5, which is no folder here"
# A base with other weights under a checkpoint's adapters.
cp "$work/merged/model.safetensors" "$work/hf/model.safetensors"
expect_status 1 "$regard" score --model "$work/sft" --data "$work/lines" --out "$work/no.jsonl"
expect_said "its adapters are for a base whose parameters have the hash"
expect_status 1 "$regard" sft --config $tiny --set model.path="$work/hf" --set adapter.rank=2 \
    --set adapter.alpha=6 --set data.valid= --set eval.every=0 --set sft.updates=9 --set sft.batch=4 \
    --set sft.lr=3e-2 --run "$work/sft" --resume
expect_said "its adapters are for a base whose parameters have the hash"
echo "adapters: $trained of $base parameters"
