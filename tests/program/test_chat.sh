# Chat formats from the command line: found by the folder's template, kept in a checkpoint, shown by a
# dry run; system messages; what cannot be followed is refused in one line.
set -euo pipefail
source tests/program/common.sh

tokens=$work/tokens
mkdir "$tokens"
cat >"$tokens/tokenizer_config.json" <<'EOF'
{"tokenizer_class": "ByT5Tokenizer", "extra_ids": 0,
 "added_tokens_decoder": {"259": {"content": "<|im_start|>", "special": true},
                          "260": {"content": "<|im_end|>", "special": true}}}
EOF
cat >"$tokens/chat_template.jinja" <<'EOF'
{% for m in messages %}{% if loop.first and m.role != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}
{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
EOF
user='{"role":"user","content":"Open?"}'
reply='{"role":"assistant","content":"Yes"}'
system='{"role":"system","content":"Be brief."}'
for i in 1 2 3; do echo "{\"messages\":[$user,$reply,$user,$reply]}"; done >"$work/plain.jsonl"
{ head -1 "$work/plain.jsonl"; echo "{\"messages\":[$system,$user,$reply]}"; } >"$work/system.jsonl"
echo "{\"messages\":[$user]}" >"$work/ask.jsonl"
echo "{\"messages\":[$system,$user]}" >>"$work/ask.jsonl"
small=(--config $tiny --set threads=1 --set tokenizer.path="$tokens" --set data.valid= --set eval.every=0
    --set rollout.dialogues=2 --set advantage=group)
new=("${small[@]}" --set model.family=llama)

# A dry run names the format and marks what is learned: a reply and its end, nothing else.
for verb in sft train; do
    expect_status 0 "$regard" "$verb" "${new[@]}" --set sft.batch=2 --set data.train="$work/plain.jsonl" \
        --dry-run --run "$work/none"
    grep -qx '# chat format: chatml' "$work/out" || fail "$verb: the dry run names no format"
    [ "$(grep -cxF '# * [Y][e][s][<|im_end|>]' "$work/out")" = 2 ] || fail "$verb: not two replies are marked"
    [ "$(grep -c '^# \* ' "$work/out")" = 2 ] || fail "$verb: more than the replies is marked"
    grep -qF '#   [<|im_start|>][s][y][s][t][e][m][\n][B][e][ ][k][i][n][d]' "$work/out" ||
        fail "$verb: no default system message"
done
expect_status 0 "$regard" sft "${new[@]}" --set sft.batch=2 --set data.train="$work/plain.jsonl" \
    --set text.chat=plain --set 'text.system=Hi' --dry-run --run "$work/none"
grep -qx '# chat format: plain' "$work/out" || fail "text.chat is not followed"
grep -qF '#   [s][y][s][t][e][m][:][ ][H][i][\n][u][s][e][r][:]' "$work/out" || fail "text.system is not said"

# A checkpoint keeps the template; what is generated is asked in its format.
expect_status 0 "$regard" train "${new[@]}" --set data.train="$work/system.jsonl" --set train.updates=1 \
    --run "$work/run"
model=$(newest "$work/run")
expect_status 0 "$regard" generate --model "$model" --set rollout.max_new_tokens=3 --set rollout.candidates=1 \
    --data "$work/ask.jsonl" --out "$work/asked.jsonl"
grep -q '"messages":\[{"role":"system","content":"Be kind."},{"role":"user","content":"Open?"}\]' "$work/asked.jsonl" ||
    fail "the default system message is not in what was asked"
grep -q '"messages":\[{"role":"system","content":"Be brief."},{"role":"user","content":"Open?"}\]' "$work/asked.jsonl" ||
    fail "the dialogue's system message is not in what was asked"
[ "$(grep -c '"history_tokens":\[259,.*,260,13,259,' "$work/asked.jsonl")" = 2 ] || fail "no special tokens"

# T5 has markers, whatever the tokenizer's folder holds, and no place for a system message.
expect_status 0 "$regard" train "${small[@]}" --set data.train="$work/plain.jsonl" --dry-run --run "$work/none"
grep -q '^# chat format: none' "$work/out" || fail "T5 with a chat format"
for verb in sft train; do
    expect_status 1 "$regard" "$verb" "${small[@]}" --set sft.batch=1 --set data.train="$work/system.jsonl" \
        --run "$work/none"
    expect_line "system.jsonl: line 2: a system message" "regard import-data puts it before"
done
expect_status 1 "$regard" train "${small[@]}" --set text.chat=chatml --run "$work/none"
expect_line "text.chat: the new model has an encoder"
expect_status 1 "$regard" train "${small[@]}" --set text.system=Hi --run "$work/none"
expect_line "text.system: histories with markers have no system message"

# What is no format.
expect_status 1 "$regard" train "${new[@]}" --set text.chat=chatlm --run "$work/none"
expect_line "text.chat: there is no chatlm; there are auto, chatml, smollm2"
expect_status 1 "$regard" train "${new[@]}" --set text.chat=llama3 --run "$work/none"
expect_line "no token <|eot_id|>, which ends a reply in the chat format llama3"
sed -i 's/Be kind\.<|im_end|>/Be kind./' "$tokens/chat_template.jinja"
expect_status 1 "$regard" train "${new[@]}" --set data.train="$work/plain.jsonl" --run "$work/none"
expect_line "plain.jsonl: line 1: $tokens/chat_template.jinja: the chat template is none that is built in" "text.chat ("
expect_status 0 "$regard" train "${new[@]}" --set data.train="$work/plain.jsonl" --set text.chat=chatml \
    --dry-run --run "$work/none"
# Token lines need no format.
expect_status 0 "$regard" export --model "$model" --out "$work/other"
cp "$tokens/chat_template.jinja" "$work/other"
echo '{"history_tokens":[259,70,260],"reply_tokens":[71,260]}' >"$work/tokens.jsonl"
expect_status 0 "$regard" score --model "$work/other" --data "$work/tokens.jsonl" --out "$work/scored.jsonl"
expect_status 1 "$regard" generate --model "$work/other" --data "$work/ask.jsonl" --out "$work/none"
expect_line "ask.jsonl: line 1: " "text.chat ("
[ ! -e "$work/none" ] || fail "something was written"

# import-data keeps system messages when it is asked to.
expect_status 0 "$regard" import-data --keep-system --data "$work/system.jsonl" --out "$work/kept.jsonl"
expect_equal_files "$work/system.jsonl" "$work/kept.jsonl"
expect_status 0 "$regard" import-data --data "$work/system.jsonl" --out "$work/joined.jsonl"
grep -q '"content":"Be brief.\\nOpen?"' "$work/joined.jsonl" || fail "the system's words are lost"

# What was sampled in a second turn is scored alike from its record: the same tokens, the same bits.
new+=(--set text.chat=chatml)
expect_status 0 "$regard" train "${new[@]}" --set data.train=synthetic:1:8 --set train.updates=1 \
    --set rollout.turns=3 --set data.valid=synthetic:2:2 --set eval.every=1 --run "$work/talk"
model=$(newest "$work/talk")
records=$work/talk/samples/step-000001.jsonl
expect_status 0 "$regard" eval "${new[@]}" --model "$model" --data synthetic:1:3 --out "$work/table.json" \
    --samples "$work/eval.jsonl"
expect_status 0 "$regard" score "${new[@]}" --set eval.temperature=1 --model "$model" --data "$work/eval.jsonl" \
    --out "$work/again.jsonl"
# A format that was named by hand is kept as a template.
expect_status 0 "$regard" generate --model "$model" --set rollout.max_new_tokens=3 --set rollout.candidates=1 \
    --data "$work/ask.jsonl" --out "$work/byhand.jsonl"
[ "$(grep -c '"history_tokens":\[259,.*,260,13,259,' "$work/byhand.jsonl")" = 2 ] || fail "text.chat is not kept"
python3 - "$work" "$records" <<'END' || fail "records of decoder-only models"
import json, sys
work, records = sys.argv[1:]
read = lambda path: [json.loads(line) for line in open(path)]
evaluated, again = read(f"{work}/eval.jsonl"), read(f"{work}/again.jsonl")
assert len(evaluated) == len(again) and any(s["turn"] == 2 for s in evaluated)
for a, b in zip(evaluated, again):
    for key in ["history_tokens", "marker", "attention_entropy", "salient_mass", "first_mass", "special_mass",
                "history_mass", "reply_mass", "reward"]:
        assert a[key] == b[key], key
    assert a.get("cuts") == b.get("cuts")
    # A history that history.max_tokens has cut has none.
    assert a["turn"] > 1 or "cuts" not in a
    assert a["turn"] != 2 or len(a["cuts"]) == 2
    marked = [t for t, m in zip(a["history_tokens"], a["marker"]) if m]
    assert {259, 260} <= set(marked) and len(marked) < len(a["history_tokens"])
for s in read(records):
    assert len(s["marker"]) == len(s["history_tokens"])
END
