# Audits during train: a reward that parts from its judge is told, one that is its judge is not; the
# figures are the same on any ranks and over a resume, the weights the same as without; stop saves
# and ends with a status of its own.
set -euo pipefail
source tests/program/common.sh

short=(--config $tiny --set threads=1 --set train.updates=8 --set eval.every=0 --set checkpoint.every=6
    --set advantage=group --set policy.lr=3e-3 --set rollout.candidates=4 --set kl.coef=0
    --set audit.every=4 --set audit.judge=format --set 'reward.format="."')
audits() { grep '"audit_reward_scaled":' "$1/metrics.jsonl"; }

# Minus length is climbed, and replies that say anything become fewer.
part=("${short[@]}" --set control=length)
expect_status 0 "$regard" train "${part[@]}" --run "$work/part"
expect_said "audit of 16 dialogues, errors in brackets: reward_scaled " "since the first audit reward_scaled has changed by 0." \
    "no longer stands for format"
[ "$(audits "$work/part" | wc -l)" = 2 ] || fail "not an audit every four updates"
audits "$work/part" | head -1 | grep -q '"audit_alarm":0.0' || fail "the first audit alarms"
audits "$work/part" | tail -1 | grep '"audit_alarm":1.0' | grep -q '"audit_judge_change":-0' ||
    fail "the second does not: $(audits "$work/part" | tail -1)"

# The same figures where the window and the first audit came out of a checkpoint, on other ranks.
cp -r "$work/part" "$work/cut"
rm -rf "$work/cut/checkpoints/step-000008" "$work/cut/checkpoints/newest"
expect_status 0 run/mpirun -np 3 "$regard" train "${part[@]}" --set roles.learners=2 --run "$work/cut" --resume
expect_said "going on from"
expect_equal_metrics "$work/part/metrics.jsonl" "$work/cut/metrics.jsonl"

# stop: a checkpoint, and status 3; going on is possible.
expect_status 3 "$regard" train "${part[@]}" --set audit.action=stop --set train.updates=12 --run "$work/stop"
expect_said "no longer stands for format" "ended by audit.action: stop, after a checkpoint"
[ "$(basename "$(newest "$work/stop")")" = step-000008 ] || fail "stopped at $(newest "$work/stop")"
expect_status 0 "$regard" train "${part[@]}" --set train.updates=12 --run "$work/stop" --resume

# An alarm after the last update ends nothing.
expect_status 0 "$regard" train "${part[@]}" --set audit.action=stop --run "$work/last"
expect_said "no longer stands for format"

# A reward that is the judge: no word.
expect_status 0 "$regard" train "${short[@]}" --set reward.sources=format --run "$work/same"
[ "$(audits "$work/same" | grep -c '"audit_alarm":0.0')" = 2 ] || fail "a reward that is the judge alarms"
! grep -q 'warning' "$work/err" || fail "a word about a reward that is the judge"

# An audit changes no weight; gold needs no source of its own.
plain=(--config $tiny --set threads=1 --set train.updates=2 --set eval.every=0 --set checkpoint.every=2)
expect_status 0 "$regard" train "${plain[@]}" --run "$work/without"
expect_status 0 "$regard" train "${plain[@]}" --set audit.every=2 --set audit.judge=gold --run "$work/with"
expect_same "weights under an audit" "$(parameters_hash "$(newest "$work/without")")" \
    "$(parameters_hash "$(newest "$work/with")")"
grep -qE '"gold":0\.[0-9]+' "$work/with/metrics.jsonl" || fail "no column of the judge"
[ "$(audits "$work/with" | wc -l)" = 1 ] || fail "no audit"

# A judge that judges parts of replies cuts none of them: the weights are those of a run without, and in
# task: reasoning its parts need not be the blocks.
command -v python3 >/dev/null || { echo "no python3, which a judge of parts wants"; exit 77; }
cat >"$work/parts.py" <<'END'
import json, sys
for line in sys.stdin:
    r = json.loads(line)
    n = len(r["pieces"])
    ends = [n // 3, n] if n > 2 else [n]
    parts = [{"begin": b, "end": e, "value": r["candidate"]} for b, e in zip([0] + ends, ends)]
    print(json.dumps({"id": r["id"], "rewards": parts}), flush=True)
END
judge=(--set audit.every=2 --set audit.judge=command --set reward.command="python3 $work/parts.py")
expect_status 0 "$regard" train "${plain[@]}" "${judge[@]}" --run "$work/parts"
expect_same "weights under a judge of parts" "$(parameters_hash "$(newest "$work/without")")" \
    "$(parameters_hash "$(newest "$work/parts")")"
grep -q '"command":1.0,' "$work/parts/metrics.jsonl" || fail "parts of 0 and 1, twice each, are not 1 on average"
blocks=(--config configs/reasoning.yaml --set tokenizer.path=bytes --set model.d_model=32 --set model.d_kv=8
    --set model.d_ff=64 --set device=cpu --set threads=1 --set train.updates=2 --set eval.every=0
    --set rollout.dialogues=4 --set rollout.candidates=2 --set rollout.max_new_tokens=12)
expect_status 0 "$regard" train "${blocks[@]}" "${judge[@]}" --run "$work/blocks"
grep -q '"audit_judge":1.0,' "$work/blocks/metrics.jsonl" || fail "$(audits "$work/blocks")"
