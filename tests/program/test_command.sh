# Statuses and the one line on stderr; the verbs on folders, tokenizers and single updates.
set -euo pipefail
source tests/program/common.sh

wrong() { # TEXT ARGUMENTS...: wrong usage
    expect_status 2 "$regard" "${@:2}"
    expect_line --help "$1"
}
bad() { # "TEXT|TEXT" ARGUMENTS...: bad input
    local texts
    IFS='|' read -ra texts <<<"$1"
    expect_status 1 "$regard" "${@:2}"
    expect_line "${texts[@]}"
}

# The command line.
wrong "no verb"
wrong "there are tokenizer, sft, train"
wrong "did you mean train?" trian
wrong "did you mean --samples?" eval --sample x
wrong "did you mean --out?" generate -o x
wrong "did you mean --set with policy.lr, sft.lr, rm.lr or critic.lr?" train --learning-rate 1
wrong "did you mean --set with model.path?" train --model x
wrong "did you mean policy?" --help polcy
wrong fly fly
wrong --wings train --wings 2
wrong --run train --config $tiny
wrong --model score --data x --out y
wrong --model eval
for arguments in "--help" "train --help" "--version"; do
    expect_status 0 "$regard" $arguments
    [ -s "$work/out" ] || fail "nothing on stdout of $arguments"
    [ ! -s "$work/err" ] || fail "something on stderr of $arguments"
done

# Help by topic: a section's keys, a key, a verb and its section, all keys.
topic() { # TEXT WITHOUT TOPIC
    expect_status 0 "$regard" --help ${3:+"$3"}
    grep -qF -- "$1" "$work/out" || fail "--help $3 does not say $1"
    ! grep -qF -- "$2" "$work/out" || fail "--help $3 says $2"
}
topic policy.lr critic.lr policy
topic policy.lr policy.warmup policy.lr
topic train.updates policy.lr train
topic --resume policy.lr train
topic watchdog.seconds --resume keys
topic "  watchdog " policy.lr ""

# The configuration: line and key.
config() { # LINE KEY TEXT...: that configuration is refused there
    local texts="$work/bad.yaml:$1|$2"
    printf '%s\n' "${@:3}" >"$work/bad.yaml"
    bad "$texts" train --config "$work/bad.yaml" --run "$work/none"
}
config 2 policy.speed "policy:" "  speed: 1"
config 2 seed "seed: 1" "seed: 2"
config 1 seed "seed: soon"
config 2 rollout.top_p "rollout:" "  top_p: 7"
bad "policy.lr, sft.lr, rm.lr or critic.lr" train --config $tiny --set learning_rate=1 --run "$work/none"
bad "1, 2 or 4" train --config $tiny --set roles.learners=3 --run "$work/none"
bad reward.alpha train --config $tiny --set reward.alpha=much --run "$work/none"
bad model.path train --set data.train=synthetic:1:9 --run "$work/none"
bad data.train train --config $tiny --set data.train= --run "$work/none"
bad data.train sft --set tokenizer.path=bytes --set model.d_model=32 --run "$work/none"
[ ! -e "$work/none" ] || fail "a refused run left a folder"

expect_status 0 "$regard" train --config $tiny --dry-run --run "$work/none"
grep -q '^# rank 0  *[0-9]' "$work/out" || fail "the dry run does not say how much memory is needed"
[ ! -e "$work/none" ] || fail "a dry run left a folder"

# A model.
expect_status 0 "$regard" train --config $tiny --set train.updates=1 --set eval.every=0 \
    --set threads=1 --run "$work/run"
model=$(newest "$work/run")
hash=$(parameters_hash "$model")

# Lines.
good='{"history_tokens":[5,6,1],"reply_tokens":[7,1]}'
lines() { # VERB TEXT LINE: the second line is refused
    printf '%s\n%s\n' "$good" "$3" >"$work/in.jsonl"
    bad "in.jsonl:2|$2" "$1" --model "$model" --data "$work/in.jsonl" --out "$work/o.jsonl"
    [ ! -e "$work/o.jsonl" ] || fail "a refused file left an output"
}
lines score "" '{"history_tokens":[5,6,1]'
lines score reply_tokens '{"history_tokens":[5,6,1],"reply_tokens":"x"}'
lines score 99999 '{"history_tokens":[5,99999,1],"reply_tokens":[7]}'
lines generate "" '{"messages":3}'
bad "does not exist|nowhere" export --model "$model" --out "$work/nowhere/x"
echo "$good" >"$work/good.jsonl"
bad "$work/absent" score --model "$work/absent" --data "$work/good.jsonl" --out "$work/o"
bad "$work/absent" score --model "$model" --data "$work/absent" --out "$work/o"

# Folders.
expect_status 0 "$regard" export --model "$model" --out "$work/exported"
expect_status 0 "$regard" import --model "$work/exported" --out "$work/imported"
expect_same export "$hash" "$(parameters_hash "$work/exported")"
expect_same import "$hash" "$(parameters_hash "$work/imported")"

# One update.
printf '%s\n' '{"id":"a","history_tokens":[5,6,1],"reply_tokens":[7,8,1],"logp":[-5,-5,-5],"advantage":1}' \
    '{"id":"b","history_tokens":[9,6,1],"reply_tokens":[4,1],"logp":[-5,-6],"advantage":-1}' >"$work/u.jsonl"
expect_status 0 "$regard" update --model "$model" --data "$work/u.jsonl" --out "$work/updated" \
    --set ppo.epochs=3
[ "$(grep -c '^{"step":[123],"loss":.*"kl":.*}$' "$work/out")" = 3 ] || fail "$(cat "$work/out")"
[ "$(parameters_hash "$work/updated")" != "$hash" ] || fail "update changed nothing"

# Tokenizers.
i=0
while [ $i -lt 60 ]; do
    i=$((i + 1))
    echo "{\"messages\":[{\"role\":\"user\",\"content\":\"order $i of the blue lamp is late\"},{\"role\":\"assistant\",\"content\":\"I am sorry, order $i will come on Monday.\"}]}"
done >"$work/d.jsonl"
printf 'order 12 is late\nthe blue lamp\n' >"$work/text"
expect_status 0 "$regard" tokenizer train --data "$work/d.jsonl" --out "$work/words" \
    --set tokenizer.vocabulary=100
expect_line "$work/words: 51 pieces; tokenizer.vocabulary asks for 100, and the text has no more"
expect_status 0 "$regard" tokenizer train --data "$work/d.jsonl" --out "$work/few" --set tokenizer.vocabulary=40
expect_line "info: $work/few: 40 pieces"
for folder in "$work/words" "$model"; do
    expect_status 0 "$regard" tokenizer encode --model "$folder" --data "$work/text" --out "$work/ids"
    expect_status 0 "$regard" tokenizer decode --model "$folder" --data "$work/ids" --out "$work/back"
    ! grep -q '[a-z]' "$work/ids" || fail "ids: $(cat "$work/ids")"
    expect_equal_files "$work/text" "$work/back"
done
# Standard input and output.
"$regard" tokenizer encode --model "$model" --data - --out - <"$work/text" |
    "$regard" tokenizer decode --model "$model" --data - --out - >"$work/back" || fail "no pipe"
expect_equal_files "$work/text" "$work/back"
printf '%s\n5\n' "$good" >"$work/in.jsonl"
bad "standard input:2" score --model "$model" --data - --out "$work/o.jsonl" <"$work/in.jsonl"
bad "--out -|folder" export --model "$model" --out -
bad "standard input" train --config $tiny --set 'data.train="-"' --run "$work/none"
echo "5 x" >"$work/ids"
bad "$work/ids:1" tokenizer decode --model "$model" --data "$work/ids" --out "$work/back"

# Dialogues of other programs.
cat >"$work/share.json" <<'END'
[{"id": "x", "conversations": [{"from": "system", "value": "Be kind."}, {"from": "human", "value": "Open?"},
  {"from": "gpt", "value": "Yes."}]}]
END
bad "share.json|JSON list|regard import-data" generate --model "$model" --data "$work/share.json" --out "$work/o"
expect_status 0 "$regard" import-data --data - --out "$work/ours.jsonl" <"$work/share.json"
expect_said "1 of 1 dialogues written"
expect_same "the line" '{"id":"x","messages":[{"role":"user","content":"Be kind.\nOpen?"},{"role":"assistant","content":"Yes."}]}' \
    "$(cat "$work/ours.jsonl")"
expect_status 0 "$regard" score --model "$model" --data "$work/ours.jsonl" --out "$work/o.jsonl"

# Evaluation.
head -6 "$work/d.jsonl" >"$work/e.jsonl"
expect_status 0 "$regard" eval --model "$model" --data "$work/e.jsonl" --out "$work/e.json" \
    --samples "$work/replies.jsonl" --set rollout.max_new_tokens=4
grep -q '^rouge_l  *[0-9.]*$' "$work/out" || fail "eval printed no metrics: $(cat "$work/out")"
awk -F '[:,}]' 'FNR == NR { if ($1 ~ /"replies"/) n = $2; if ($1 ~ /"reward"/) mean = $2; next }
    { for (i = 1; i < NF; i++) if ($i == "\"reward\"") { sum += $(i + 1); rows++ } }
    END { d = sum - mean * n; exit !(rows && rows == n && d * d < 1e-18) }' \
    "$work/e.json" "$work/replies.jsonl" || fail "samples do not add up: $(cat "$work/e.json" "$work/replies.jsonl")"
grep -q '"perplexity"' "$work/e.json" || fail "$(cat "$work/e.json")"
expect_status 0 "$regard" eval --compare "$work/e.json" "$work/e.json"
[ "$(wc -l <"$work/out")" = 14 ] || fail "not a heading and 13 rows: $(cat "$work/out")"
grep -qE '^rouge_l( +[0-9.]+){2} +\+0\.0000 +0\.0000$' "$work/out" || fail "no rouge_l that stays: $(cat "$work/out")"
# Dialogues change by 0, 1, 0, 1, 0, 1: on average by 0.5, whose error is the deviation 0.5 by the root of 6.
parts() { sed "s/\"by_dialogue\":.*/\"by_dialogue\": {\"metrics\": [\"rouge_l\"], \"rows\": [$1]}}/" "$work/e.json" >"$2"; }
same="[1, 2], [3, 2]"
parts "[1, 2], [1, 2], [3, 2], [3, 2], $same" "$work/before.json"
parts "[1, 2], [3, 2], [3, 2], [5, 2], [1, 2], [5, 2]" "$work/after.json"
expect_status 0 "$regard" eval --compare "$work/before.json" "$work/after.json"
awk '$1 == "rouge_l" { exit !($5 > 0.18 && $5 < 0.23) }' "$work/out" || fail "not an error of 0.204: $(cat "$work/out")"
# compare_without_error FILE FILE TEXT
compare_without_error() {
    expect_status 0 "$regard" eval --compare "$1" "$2"
    awk '$1 == "rouge_l" { exit $5 != "-" }' "$work/out" || fail "an error: $(cat "$work/out")"
    expect_line "$3"
}
parts "$same" "$work/other.json"
compare_without_error "$work/other.json" "$work/after.json" "not known to be of the same dialogues"
compare_without_error "$work/other.json" "$work/other.json" "5 dialogues at least, these are 2"
sed 's/"by_dialogue": {/&"lines_sha256": "aa", /' "$work/before.json" >"$work/other.json"
compare_without_error "$work/other.json" "$work/after.json" "not known to be of the same dialogues"
# As many lines, one of them another.
sed '6s/Monday/Tuesday/' "$work/e.jsonl" >"$work/f.jsonl"
expect_status 0 "$regard" eval --model "$model" --data "$work/f.jsonl" --out "$work/f.json" --set rollout.max_new_tokens=4
compare_without_error "$work/e.json" "$work/f.json" "not known to be of the same dialogues"
# A metric that one dialogue has.
none="[0, 0], [0, 0]"
parts "[1, 2], $none, $none, [0, 0]" "$work/one.json"
expect_status 0 "$regard" eval --compare "$work/one.json" "$work/one.json"
awk '$1 == "rouge_l" { exit $5 != "-" }' "$work/out" || fail "an error of one dialogue: $(cat "$work/out")"
parts "[1, 2], [1]" "$work/broken.json"
expect_status 1 "$regard" eval --compare "$work/before.json" "$work/broken.json"
expect_said 'broken.json: "by_dialogue" is not as regard eval writes it'
sed 's/"lines_sha256": "[^"]*"/"lines_sha256": 7/' "$work/e.json" >"$work/broken.json"
expect_status 1 "$regard" eval --compare "$work/e.json" "$work/broken.json"
expect_said 'broken.json: "by_dialogue" is not as regard eval writes it'
