# rollout.user: model: a second model, trained by `sft --role user`, speaks the user's turns.
set -euo pipefail
source tests/program/common.sh

short=(--set threads=1 --set eval.every=0)
# Learned from the users of the built-in corpus, for a few updates.
expect_status 0 "$regard" sft --config $tiny "${short[@]}" --role user --set data.valid= \
    --set data.train=synthetic:1:40 --set sft.updates=12 --set sft.batch=8 --set sft.lr=1e-2 \
    --run "$work/user"
user=$(newest "$work/user")
awk '{ match($0, /"loss": *[0-9.e+-]+/); loss[NR] = substr($0, RSTART + 7, RLENGTH - 7) + 0 }
    END { print "sft --role user: loss " loss[1] ", then " loss[NR]; exit !(NR == 12 && loss[NR] < 0.8 * loss[1]) }' \
    "$work/user/metrics.jsonl" || fail "the user's model learned nothing"
# It learned what users say, not what assistants do: the two differ from the first loss on.
expect_status 0 "$regard" sft --config $tiny "${short[@]}" --set data.valid= \
    --set data.train=synthetic:1:40 --set sft.updates=1 --set sft.batch=8 --run "$work/assistant"
[ "$(head -1 "$work/user/metrics.jsonl")" != "$(head -1 "$work/assistant/metrics.jsonl")" ] ||
    fail "--role user learns the assistant's turns"

# Three updates with it, alone and on three ranks.
train() { # RANKS RUN SETTINGS...
    expect_status 0 ranks "$1" "$regard" train --config $tiny "${short[@]}" --set train.updates=3 \
        --set data.valid= --set rollout.turns=3 --run "$work/$2" "${@:3}"
    hash=$(parameters_hash "$(newest "$work/$2")")
}
model=(--set rollout.user=model --set "model.user_path=$user")
train 0 alone "${model[@]}" --set eval.every=3
alone=$hash
train 3 ranks "${model[@]}"
expect_same "3 ranks with a user's model" "$alone" "$hash"
train 0 replay
[ "$hash" != "$alone" ] || fail "rollout.user=model changes nothing"

# It goes on speaking: a dialogue has its third turn.
sample=$work/alone/samples/step-000003.jsonl
[ -s "$sample" ] || fail "no samples"
grep -q '"turn":3' "$sample" || fail "no third turn: the user's model ends every dialogue"

# Without a model for it, the settings are refused by name.
expect_status 1 "$regard" train --config $tiny --set rollout.user=model --run "$work/none"
expect_line model.user_path
