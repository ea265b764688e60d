# reward.sources: model: a reward model reads the replies, with its own words where they are not the
# policy's; bits do not depend on ranks, a resume with another one is refused.
set -euo pipefail
source tests/program/common.sh

# reward_model NAME OPTIONS...: a few updates, so that it is not zero.
reward_model() {
    local name=$1
    shift
    expect_status 0 "$regard" reward --config $tiny --set data.train=preferences:1:50 --set data.valid= \
        --set rm.updates=4 --set rm.lr=3e-3 --set checkpoint.every=4 --run "$work/$name" "$@"
}
reward_model t5
reward_model other --set seed=2
reward_model chat --set model.family=llama --set text.chat=plain

# The source model: the same bits on any ranks and after a resume, with its own words too; a resume
# with another reward model is refused, as with another fit.
by_model() { # NAME RANKS OPTIONS...
    local name=$1 count=$2
    shift 2
    expect_status 0 ranks "$count" "$regard" train --config $tiny --set reward.sources=model:1,logprob:0 \
        --set train.updates=4 --set checkpoint.every=2 --set eval.every=2 --run "$work/$name" "$@"
}
by_model m1 0 --set reward.model="$work/t5"
by_model m3 3 --set reward.model="$work/t5"
by_model m2 0 --set reward.model="$work/t5" --set train.updates=2
expect_status 1 "$regard" train --config "$work/m2/config.yaml" --set train.updates=4 \
    --set reward.model="$work/other" --run "$work/m2" --resume
expect_said "the contents of reward.model are not what this run began with" "--change reward.model"
by_model m2 3 --set reward.model="$work/t5" --resume
for name in m3 m2; do
    expect_same "$name" "$(parameters_hash "$work/m1/checkpoints/step-000004")" \
        "$(parameters_hash "$work/$name/checkpoints/step-000004")"
    expect_equal_metrics "$work/m1/metrics.jsonl" "$work/$name/metrics.jsonl"
done
grep -q '"eval_model":' "$work/m1/metrics.jsonl" || fail "held-out replies have no score"
by_model c1 0 --set reward.model="$work/chat"
by_model c2 2 --set reward.model="$work/chat" --set roles.learners=2
expect_same c2 "$(parameters_hash "$work/c1/checkpoints/step-000004")" "$(parameters_hash "$work/c2/checkpoints/step-000004")"
[ "$(parameters_hash "$work/c1/checkpoints/step-000004")" != "$(parameters_hash "$work/m1/checkpoints/step-000004")" ] ||
    fail "another reward model changes nothing"

# score's and train's model say the same of a reply.
expect_status 0 "$regard" generate --model "$work/m1" --data synthetic:1:2 --out "$work/said.jsonl" \
    --set reward.sources=model:1 --set reward.model="$work/chat" --set rollout.max_new_tokens=5
expect_status 0 "$regard" score --model "$work/chat" --data "$work/said.jsonl" --out "$work/again.jsonl"
values() { sed -n 's/.*"model":\(-\{0,1\}[0-9.e-]*\).*/\1/p' "$1" | xargs printf '%.12g\n'; }
expect_same "score of what generate said" "$(values "$work/said.jsonl")" "$(values "$work/again.jsonl")"

# By tokens where they are the reward model's own, cut replies with their end: generate, score of its
# record (another limit of the asker's changes nothing) and score of its tokens alone.
own() { # OPTIONS...
    expect_status 0 "$regard" generate --model "$work/m1" --data synthetic:1:2 --out "$work/said.jsonl" --set rollout.temperature=5 \
        --set reward.sources=model:1 --set reward.model="$work/t5" --set rollout.max_new_tokens=5 "$@"
    grep -q '"ended":false' "$work/said.jsonl" || fail "no reply was cut"
    expect_status 0 "$regard" score --model "$work/t5" --data "$work/said.jsonl" --out "$work/again.jsonl"
    expect_same "score of generate's record" "$(values "$work/said.jsonl")" "$(values "$work/again.jsonl")"
}
own
own --set history.max_tokens=512
sed 's/"messages":/"said":/' "$work/said.jsonl" >"$work/tokens.jsonl"
expect_status 0 "$regard" score --model "$work/t5" --data "$work/tokens.jsonl" --out "$work/again.jsonl"
expect_same "score of generate's tokens" "$(values "$work/said.jsonl")" "$(values "$work/again.jsonl")"

# It reads by its own limit, whatever the policy's: prompts beyond it are left out at the start; the policy's
# pruning is not its.
reward_model short --set history.max_tokens=100
long=$(printf 'long %.0s' $(seq 30))
for i in $(seq 8); do
    printf '{"messages":[{"role":"user","content":"Open on %d?%s"},{"role":"assistant","content":"Yes."}]}\n' \
        "$i" "$([ "$i" != 5 ] || printf %s "$long")"
done >"$work/long.jsonl"
by_model s1 0 --set reward.model="$work/short" --set data.train="$work/long.jsonl" --set data.valid="$work/long.jsonl" \
    --set history.prune=idf --set history.max_tokens=200
expect_said "long.jsonl: 1 dialogues are left out, the first in line 5: a message of the user is longer than the 100 tokens"
expect_status 1 "$regard" score --model "$work/short" --data "$work/long.jsonl" --out "$work/none"
expect_said "long.jsonl:5: turn 1: the last message is longer than the 100 tokens that the reward model reads"

expect_status 1 "$regard" train --config $tiny --set reward.sources=model:1 --run "$work/none"
expect_line "reward.sources has model, which needs reward.model"
expect_status 1 "$regard" train --config $tiny --set reward.model="$work/t5" --run "$work/none"
expect_line "reward.model is given, but reward.sources has no model"
expect_status 1 "$regard" train --config $tiny --set reward.sources=model:1 --set reward.model="$work/m1" --run "$work/none"
expect_said "reward.model: " "is a language model's folder; a reward model's is wanted"
