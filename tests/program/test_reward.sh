# regard reward: a reward model has the same bits on any number of ranks and after a resume, of an
# encoder, of a decoder-only model and of adapters, from preferences and from dialogues; it learns;
# its folder is no language model's, and the other way round; what it cannot learn from is refused.
set -euo pipefail
source tests/program/common.sh
chat="--set model.family=llama --set text.chat=plain"

# Preferences that words decide: the reply names the three words in order, or it names others, or none.
preferences() { # SEED COUNT
    awk -v seed="$1" -v count="$2" '
        function draw(n) { state = (state * 69069 + 1) % 4294967296; return int(state / 65536) % n }
        BEGIN {
            state = seed
            n = split("red blue green apple pear stone river cloud table chair", word)
            for (i = 0; i < count; i++) {
                a = draw(n); b = (a + 1 + draw(n - 1)) % n
                said = word[a + 1] " and " word[b + 1]
                other = word[(a + 3) % n + 1] " and " word[(b + 2) % n + 1]
                printf "{\"prompt\":\"Say %s.\",\"chosen\":\"Here: %s.\",\"rejected\":\"%s\"}\n",
                    said, said, draw(2) ? "I will not." : "No: " other "."
            }
        }'
}
preferences 5 400 >"$work/train.jsonl"
preferences 9 100 >"$work/valid.jsonl"

# train NAME RANKS OPTIONS...: eight updates of ten pairs.
train() {
    local name=$1 count=$2
    shift 2
    expect_status 0 ranks "$count" "$regard" reward --config $tiny --set data.train="$work/train.jsonl" \
        --set data.valid="$work/valid.jsonl" --set rm.updates=8 --set eval.every=4 --set rm.lr=3e-3 \
        --set rm.batch=10 --set checkpoint.every=4 --run "$work/$name" "$@"
}

same() { # NAME OTHER: bits and metrics
    expect_same "$2" "$(parameters_hash "$work/$1/checkpoints/step-000008")" \
        "$(parameters_hash "$work/$2/checkpoints/step-000008")"
    expect_equal_metrics "$work/$1/metrics.jsonl" "$work/$2/metrics.jsonl"
}

train t5 0 --set rm.margin=0.5 --set rm.center=0.1 --set rm.smoothing=0.1 --set rm.pairs=50
train t5-4 4 --set rm.margin=0.5 --set rm.center=0.1 --set rm.smoothing=0.1 --set rm.pairs=50
same t5 t5-4
train part 2 --set threads=2 --set rm.margin=0.5 --set rm.center=0.1 --set rm.smoothing=0.1 --set rm.pairs=50 --set rm.updates=4
train part 0 --set rm.margin=0.5 --set rm.center=0.1 --set rm.smoothing=0.1 --set rm.pairs=50 --resume
same t5 part
expect_status 1 "$regard" reward --config "$work/part/config.yaml" --set rm.margin=1 --run "$work/part" --resume
expect_said "key rm.margin differs from the run that is resumed"

train chat 0 $chat
train chat-4 4 $chat
same chat chat-4
# A pair's prompt is computed once: in bytes it is a good part of its two sequences.
awk -F'[:,]' '/learn_tokens_computed/ {
    for (i = 1; i < NF; i++) { if ($i ~ /tokens_computed/) c = $(i + 1); if ($i ~ /tokens_pairs/) p = $(i + 1) }
    if (!(c > 0 && c < 0.8 * p)) { print c " of " p " tokens"; exit 1 } }' "$work/chat/metrics.jsonl" ||
    fail "a pair's prompt is computed twice"

topic="--set rm.objective=on_topic --set data.train=synthetic:1:60 --set data.valid=synthetic:1:10:60"
train lora 0 $topic $chat --set adapter.rank=2
train lora-2 2 $topic $chat --set adapter.rank=2
same lora lora-2
expect_status 0 "$regard" inspect "$work/lora/checkpoints/step-000008"
grep -q "^kind reward model's checkpoint, verified" "$work/out" || fail "inspect does not say what it is"
grep -q "adapters of rank 2" "$work/out" || fail "inspect does not say that there are adapters"

# It goes on from a reward model's folder, head included: the first loss is not that of a zero head.
train on 0 --set model.path="$work/t5"
expect_status 1 grep -q '"step":1,"loss":0.693' "$work/on/metrics.jsonl"
grep -q '"step":1,"loss":0.693' "$work/chat/metrics.jsonl" || fail "a new head is not zero"

expect_status 0 "$regard" reward --config $tiny --set data.train="$work/train.jsonl" --set rm.updates=120 \
    --set data.valid="$work/valid.jsonl" --set eval.every=120 --set rm.lr=3e-3 --run "$work/learned"
accuracy=$(sed -n 's/.*"valid_accuracy":\([0-9.]*\).*/\1/p' "$work/learned/metrics.jsonl" | tail -1)
awk -v a="$accuracy" 'BEGIN { exit !(a >= 0.95) }' || fail "held-out accuracy is $accuracy"

# What it prefers is what the data chose: told by `score`, which reads replies one by one and knows of no pair.
line='{"messages":[{"role":"user","content":\1},{"role":"assistant","content":'
head -20 "$work/valid.jsonl" | sed -E "s/^\{\"prompt\":(\"[^\"]*\"),\"chosen\":(\"[^\"]*\"),\"rejected\":(\"[^\"]*\")\}/$line\2}]}\n$line\3}]}/" \
    >"$work/replies.jsonl"
expect_status 0 "$regard" score --model "$work/learned" --data "$work/replies.jsonl" --out "$work/scored.jsonl"
grep -oE '"model":[-0-9.e]+' "$work/scored.jsonl" | cut -d: -f2 | paste - - |
    awk '{ right += $1 > $2 } END { print right " of " NR " chosen replies have the greater score"; exit !(NR == 20 && right >= 18) }' ||
    fail "it does not prefer what the data chose"

# One kind of folder in the other's place.
expect_status 1 "$regard" generate --model "$work/t5" --data synthetic:1:1 --out "$work/none"
expect_said "t5/checkpoints" "is a reward model's folder" "a language model's is wanted"
expect_status 1 "$regard" train --config $tiny --set model.path="$work/t5" --run "$work/none"
expect_said "is a reward model's folder"
expect_status 1 "$regard" reward --config $tiny --set data.train="$work/train.jsonl" \
    --set data.valid= --set model.path="$work/t5" --set adapter.rank=2 --run "$work/none"
expect_said "leave out adapter.rank"

refused() { # TEXT OPTIONS...
    local text=$1
    shift
    expect_status 1 "$regard" reward --config $tiny --set data.train="$work/train.jsonl" \
        --set data.valid= --run "$work/none" "$@"
    expect_said "$text"
    [ ! -e "$work/none" ] || fail "a run folder was made"
}
printf '{"prompt":"a","chosen":"b","rejected":"c"}\n{"prompt":"a","chosen":"b"}\n' >"$work/bad.jsonl"
refused "bad.jsonl:2: no \"rejected\"" --set data.train="$work/bad.jsonl"
refused "synthetic:1:5: no \"chosen\"" --set data.train=synthetic:1:5
refused "rm.margin does nothing with rm.objective: on_topic" $topic --set rm.margin=1
refused "rm.center does nothing with rm.objective: on_topic" $topic --set rm.center=1
refused "leave out task" --set task=reasoning
refused "rm.batch is 16 but there are 5 pairs" --set rm.pairs=5

# A dry run prints a pair as it is read, and makes nothing.
expect_status 0 "$regard" reward --config $tiny --set data.train="$work/train.jsonl" \
    --set data.valid= --run "$work/none" --dry-run
grep -q "^# .* 400 pairs to learn from" "$work/out" || fail "a dry run does not count pairs"
grep -q "the chosen one" "$work/out" || fail "a dry run does not print a pair"
[ ! -e "$work/none" ] || fail "a dry run made a folder"

# eval of a reward model says what its run said; score gives each reply its number.
expect_status 0 "$regard" eval --model "$work/t5/checkpoints/step-000008" --data "$work/valid.jsonl" \
    --out "$work/table.json" --samples "$work/pairs.jsonl"
for metric in accuracy nll ece longer_accuracy length_correlation; do
    said=$(sed -n "s/^ \"$metric\": \([-0-9.e]*\),*$/\1/p" "$work/table.json")
    expect_same "eval's $metric" "$said" \
        "$(grep '"step":8,"valid' "$work/t5/metrics.jsonl" | sed -n "s/.*\"valid_$metric\":\([-0-9.e]*\).*/\1/p")"
done
[ "$(wc -l <"$work/pairs.jsonl")" = 100 ] || fail "not a line a pair"
# several blocks of pairs, the first of them again at the end of the last one, and in passes of one sequence
{ cat "$work/train.jsonl"; head -20 "$work/train.jsonl"; } >"$work/many.jsonl"
for tokens in 1 16384; do
    expect_status 0 "$regard" eval --model "$work/t5" --data "$work/many.jsonl" --out "$work/many-$tokens.json" \
        --samples "$work/many-$tokens.jsonl" --set learn.history_tokens=$tokens
done
expect_equal_files "$work/many-1.json" "$work/many-16384.json"
expect_equal_files "$work/many-1.jsonl" "$work/many-16384.jsonl"
expect_same "the first pairs' scores" "$(head -20 "$work/many-1.jsonl" | cut -d, -f2-)" \
    "$(tail -20 "$work/many-1.jsonl" | cut -d, -f2-)"
expect_status 1 "$regard" eval --model "$work/t5" --data synthetic:1:2 --out "$work/none"
expect_said "rm.objective: on_topic"
expect_status 1 "$regard" eval --model "$work/t5" --data "$work/valid.jsonl" --out "$work/none" --set rm.objective=pair
expect_said "rm.objective is pair, but the reward model" "was trained with bradley_terry"
expect_status 0 "$regard" eval --model "$work/lora" --data synthetic:1:10:60 --out "$work/table.json"
grep -q '"objective": "on_topic"' "$work/table.json" || fail "eval does not know what the model was trained for"

# It reads as it was trained, whatever the keys' defaults are.
nll() { sed -n 's/.*"valid_nll":\([-0-9.e]*\).*/\1/p' "$work/$1/metrics.jsonl" | tail -1; }
reads() { # NAME OPTIONS...
    local name=$1
    shift
    expect_status 0 "$regard" reward --config $tiny --set data.train=preferences:1:30 --set data.valid=preferences:1:10:50 \
        --set rm.updates=4 --set rm.lr=3e-3 --set rm.batch=4 --set eval.every=4 --run "$work/$name" "$@"
    expect_status 0 "$regard" eval --model "$work/$name" --data preferences:1:10:50 --out "$work/table.json"
    expect_same "eval of $name" "$(nll "$name")" "$(sed -n 's/^ "nll": \([-0-9.e]*\),$/\1/p' "$work/table.json")"
}
reads usual
reads short --set history.max_tokens=150 --set text.user_marker="Q>"
reads system $chat --set text.system=Kind.
[ "$(nll short)" != "$(nll usual)" ] || fail "neither the limit nor the marker changed what is read"
expect_status 1 "$regard" score --model "$work/short" --data synthetic:1:2 --out "$work/none" --set history.max_tokens=100
expect_said "history.max_tokens is 100, but the reward model" "was trained with 150"
expect_status 0 "$regard" score --model "$work/t5" --data synthetic:1:2 --out "$work/scored.jsonl"
grep -q '"reply":"[^"]*",.*"model":-\{0,1\}[0-9]' "$work/scored.jsonl" || fail "score wrote no score"

# score keeps users' names, and what it wrote has the same score again.
printf '{"messages":[{"role":"user","name":"Ana","content":"Open?"},{"role":"assistant","content":"Yes."}]}\n' >"$work/named.jsonl"
expect_status 0 "$regard" score --model "$work/t5" --data "$work/named.jsonl" --out "$work/scored.jsonl"
grep -q '"name":"Ana"' "$work/scored.jsonl" || fail "score lost the name"
sed -E 's/^\{.*("messages":\[.*)\],"reply":("[^"]*").*/{\1,{"role":"assistant","content":\2}]}/' "$work/scored.jsonl" >"$work/again.jsonl"
expect_status 0 "$regard" score --model "$work/t5" --data "$work/again.jsonl" --out "$work/scored-again.jsonl"
expect_same "score of the written record" "$(grep -o '"model":.*' "$work/scored.jsonl")" "$(grep -o '"model":.*' "$work/scored-again.jsonl")"

# Weights that make a score no number: one line, in every verb.
expect_status 0 "$regard" sft --config $tiny --set sft.updates=1 --set eval.every=0 --run "$work/sft"
expect_status 0 "$regard" export --model "$work/sft" --out "$work/broken"
weights=$work/broken/model.safetensors
header=$(head -c 8 "$weights" | od -An -tu8 | tr -d ' ')
at=$(head -c $((8 + header)) "$weights" | tail -c +9 | tr '{' '\n' |
    sed -n '/encoder.final_layer_norm.weight/{n;s/.*"data_offsets":\[\([0-9]*\),.*/\1/p}')
patch() { # BYTES COUNT: the norm's first floats
    printf "$1%.0s" $(seq "$2") | dd of="$weights" bs=1 seek=$((8 + header + at)) conv=notrunc status=none
}
patch '\xe6\xb1\x61\x7f' 1 # 3e38
broken="--set model.path=$work/broken --set tokenizer.path=bytes"
learn_broken() { # TEXT OPTIONS...
    local text=$1
    shift
    expect_status 1 "$regard" reward --config $tiny --set data.train="$work/train.jsonl" --set data.valid= \
        --set rm.updates=2 $broken --run "$work/broken-run" "$@"
    expect_said_once "$text"
    rm -rf "$work/broken-run"
}
learn_broken "the first update's loss is no number"
learn_broken "valid.jsonl: line 1, the right reply: the reward model's score is" --set data.valid="$work/valid.jsonl" \
    --set eval.every=1

# One update from a norm that is too large for a second: a folder whose scores are no numbers.
patch '\xc2\xbd\xf0\x7c' 32 # 1e37
for i in $(seq 16); do echo '{"prompt":"a","chosen":"b","rejected":"c"}'; done >"$work/short.jsonl"
expect_status 0 "$regard" reward --config $tiny --set data.train="$work/short.jsonl" --set data.valid= --set rm.updates=1 \
    --set rm.lr=10 --set policy.warmup=0 $broken --run "$work/numberless"
expect_status 1 "$regard" eval --model "$work/numberless" --data "$work/short.jsonl" --out "$work/none"
expect_said_once "short.jsonl: line 1: the reward model's score is"
expect_status 1 "$regard" score --model "$work/numberless" --data synthetic:1:2 --out "$work/none"
expect_said_once "synthetic:1:2:1, turn 1: the reward model's score is"
expect_status 1 "$regard" train --config $tiny --set reward.sources=model:1 --set reward.model="$work/numberless" --run "$work/run"
expect_said_once "which is no number to learn from"
[ ! -e "$work/none" ] || fail "a file of what is no number was written"
