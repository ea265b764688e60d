# tools/experiments: a table is made, what is done is not done again, what was stopped goes on, what was
# not run says so, and wrong options are refused in a line.
set -euo pipefail
source tests/program/common.sh
command -v python3 >/dev/null || { echo "no python3, which tools/experiments wants"; exit 77; }

# its metrics are sacrebleu's and rouge_score's (words of scripts without spaces are not cut here)
python3 - <<'PYTHON' || fail "tools/studies/texts.py has other metrics"
import json, sys
sys.path.insert(0, "tools/studies")
import texts
pairs = json.load(open("tests/text/fixtures/text_metrics.json"))["pairs"]
whole = [p for p in pairs if all(ord(c) < 0x0e00 for c in p["reply"] + p["reference"])]
assert len(whole) > 40
for p in whole:
    assert abs(texts.rouge_l(p["reply"], p["reference"]) - p["rouge_l"]) < 1e-9, p
    assert abs(texts.chrf(p["reply"], p["reference"]) - p["chrf"]) < 1e-9, p
assert texts.values_of("Yes. The bus to New Ely leaves at 18:00, I think.") == ["New Ely", "18:00"]
assert texts.slot_share("To ely, at 18:00.", ["Ely", "8:00"]) == 0.5
assert abs(texts.correlation([1, 2, 2, 3], [1, 3, 2, 4]) - 9 / 90 ** 0.5) < 1e-12
assert texts.correlation([1, 1], [1, 2]) is None
PYTHON

# generate judges no reply by gold or by slots: these rewards are read off the replies; an answer's is generate's
cat >"$work/held" <<'LINES'
{"id": "0.1", "messages": [], "gold": "In Ely, Ann.", "slots": ["Ely", "Ann"]}
{"id": "1.1", "messages": [], "gold": "4", "slots": [], "answer": "4"}
LINES
cat >"$work/said" <<'LINES'
{"id": "0.1", "candidate": 0, "reply": "In Ely.", "reply_tokens": [5, 6], "reward": 0.0, "verifier": 0.0}
{"id": "1.1", "candidate": 0, "reply": "4", "reply_tokens": [7], "reward": 0.5, "verifier": 1.0}
LINES
measured() { # REWARD: the rewards, and what was right
    python3 tools/studies/lines.py measure "$work/held" "$work/said" "$work/values" "$1"
    grep -oE '"(reward|right)": [^,}]*' "$work/values" | cut -d' ' -f2 | paste -sd' '
}
expect_same "reward read off slots" "0.5 0.0 1.0" "$(measured slots)"
expect_same "reward read off the gold reply" "0.8 1.0 1.0" "$(measured ROUGE-L)"
expect_same "generate's own reward" "0.0 0.5 1.0" "$(measured reward)"

# a table of cells by hand: a measure that a cell lacks is "-" there; correlations within histories of -1 in one
# dialogue, 0 (one reward for all) and 1 in the other have the mean 0, and over dialogues the error 2/3
cell() { # ROW WITHOUT: two dialogues, replies in pairs; none of the measure WITHOUT
    mkdir -p "$work/hand/story-real/sources-1/$1-1/run"
    echo '{"reward":0}' >"$work/hand/story-real/sources-1/$1-1/run/metrics.jsonl"
    for reply in 0.1,0,1,0 0.1,1,0,0.5 1.1,0,0,0.5 1.1,1,1,0.5 1.3,0,0,1 1.3,1,1,2; do
        IFS=, read -r history candidate right reward <<<"$reply"
        echo '{"id":"'"$history"'","dialogue":"'"${history%.*}"'","candidate":'"$candidate"',"ROUGE-L":0.5,"chrF":5,"tokens":3,' \
            '"distinct":1,"right":'"$right"',"kind":"list","reward":'"$reward"'}'
    done | sed "s/\"$2\":[^,]*,//" >"$work/hand/story-real/sources-1/$1-1/values.jsonl"
}
by_hand() { python3 tools/studies/table.py sources "$work/hand" real 1 tools/studies/rows/sources 1 story >"$work/table" 2>"$work/err"; }
echo verifier >"$(mkdir -p "$work/hand/story-real" && echo "$work/hand/story-real/target")"
cell verifier plum
cell random right
cell attention_random plum
by_hand || fail "no table where a cell lacks a measure"
grep -qF '| verifier | answers | 1 of 1 | 0.500 | 0.5000 |' "$work/table" || fail "no share right"
grep -qF '| random | nothing | 1 of 1 | - | 0.5000 |' "$work/table" || fail "a measure that random lacks is not -"
grep -qF '| verifier | random | - | +0.0000 [' "$work/table" || fail "a difference of a measure that random lacks is not -"
grep -qF '| verifier | 0.500 |' "$work/table" || fail "no kinds of questions"
grep -qE '^\| verifier \| .* 1\.000 \| - \| \+0\.000 \(0\.667\) \| 0' "$work/table" || fail "no rank correlation"
grep -qE '^\| attention_random \| .* 1\.000 \| - \| - \| 0' "$work/table" || fail "a control has the rank correlation of what it does not control"

# a program that notes what it is asked, and whose first `train` stops after one update
cat >"$work/counted" <<PROGRAM
#!/usr/bin/env bash
echo "\$1" >>"$work/asked"
if [ "\$1" = train ] && [ ! -e "$work/stopped" ]; then
    touch "$work/stopped"
    "$regard" "\$@" --set train.updates=1
    echo "regard: stopped by a signal after a checkpoint" >&2
    exit 75
fi
exec "$regard" "\$@"
PROGRAM
chmod +x "$work/counted"
export REGARD=$work/counted

expect_status 0 "$regard" sft --config $tiny --set sft.updates=30 --set checkpoint.every=30 --set eval.every=0 \
    --run "$work/sft"
out=$work/tables
study=(tools/experiments sources --model "$work/sft" --updates 2 --seeds 1 --held-out 2 --replies 2 --out "$out"
    --arms start,verifier,fitted_words --set policy.schedule=constant --set rollout.dialogues=2
    --set rollout.turns=1 --set rollout.candidates=2 --set rollout.max_new_tokens=8)
expect_status 0 "${study[@]}" --step base:builtin
expect_status 0 "$regard" probe --config $tiny --model "$work/sft" --data synthetic:1:12:8000 --fit chrf \
    --set probe.candidates=4 --set probe.histories=44 --set probe.columns=words,overlap \
    --out "$out/builtin-tiny/fit-words_overlap"
expect_status 1 "${study[@]}"
expect_line "fit-words_overlap does not say what it was made with"
cp "$out/builtin-tiny/settings" "$out/builtin-tiny/fit-words_overlap"

# the first is stopped: a line says so, the table that it is not there, and the other arm goes on
expect_status 1 "${study[@]}" --jobs 1
expect_line "stopped by a signal after a checkpoint"
grep -qE '^\| verifier \| slots of gold replies \| 0 \| not run \|' "$out/sources-tiny.md" || fail "the stopped arm is in the table"
grep -qE '^\| fitted_words \| slots of labelled gold replies \| 1 of 1 \| 0\.' "$out/sources-tiny.md" || fail "the other arm is not in the table"
# the second start does what is left, from the checkpoint; rows that nobody asked for say so
expect_status 0 "${study[@]}"
grep -qE '^\| verifier \| slots of gold replies \| 1 of 1 \| 0\.' "$out/sources-tiny.md" || fail "no row of the verifier"
grep -qE '^\| verifier \| start \| \*{0,2}[-+]0\.[0-9]+ \[' "$out/sources-tiny.md" || fail "no interval of the verifier"
grep -qE '^\| logprob \| nothing \| 0 \| not run \|' "$out/sources-tiny.md" || fail "logprob does not say that it was not run"
grep -qF '<td>verifier</td><td>slots of gold replies</td><td>1 of 1</td>' "$out/sources-tiny.html" || fail "no row in the page"
run=$out/builtin-tiny/sources-2/verifier-1/run
expect_same "updates logged" "1 2" "$(sed -n 's/.*"step":\([0-9]*\),"reward".*/\1/p' "$run/metrics.jsonl" | paste -sd' ')"
grep -q 'step-000001' "$run/about.txt" || fail "the second start did not go on from the checkpoint"
expect_same "fits made" 0 "$(grep -c probe "$work/asked" || true)"
# the third does nothing
before=$(sha256sum "$work/asked" "$out/sources-tiny.md")
expect_status 0 "${study[@]}"
expect_same "a third start" "$before" "$(sha256sum "$work/asked" "$out/sources-tiny.md")"
# other settings of a cell that is there are refused; a table of what is there runs nothing
for other in "--model configs" "--held-out 3" "--replies 3" "--labels 40" "--set kl.coef=0.1"; do
    # shellcheck disable=SC2086
    expect_status 1 "${study[@]}" $other
    expect_line "builtin-tiny was made with other settings ($out/builtin-tiny/settings)"
done
echo other >"$out/builtin-tiny/sources-2/verifier-1/settings"
expect_status 1 "${study[@]}"
expect_line "verifier-1 was made with other settings"
expect_same "after refusals" "$before" "$(sha256sum "$work/asked" "$out/sources-tiny.md")"
expect_status 0 tools/experiments latency --out "$out" --arms -
grep -q 'not run' "$out/latency-tiny.md" || fail "latency does not say that it was not run"
for what in generate decode; do echo other >"$out/latency-tiny/$what.json"; done
echo other >"$out/latency-tiny/settings"
expect_status 1 tools/experiments latency --out "$out"
expect_line "latency-tiny was made with other settings"

# lines with slots are held out too; fewer than asked are refused
mkdir -p "$work/slots/dialogues-tiny"
for name in Ann Bob; do
    echo '{"messages":[{"role":"user","content":"I am '$name'."},{"role":"assistant","content":"Hello '$name'.","slots":["'$name'"]}]}'
done >"$work/slots/dialogues-tiny/valid.jsonl"
slots=(tools/experiments dialogue --model "$work/sft" --out "$work/slots" --step base:dialogues)
expect_status 1 "${slots[@]}" --held-out 3
expect_line "has 2 lines, and 3 are to be measured"
expect_status 0 "${slots[@]}" --held-out 2
expect_same "held-out slots" "Ann Bob" "$(grep -o '"slots": \["[A-Z][a-z]*' "$work/slots/dialogues-tiny/histories.jsonl" | grep -o '[A-Z].*' | paste -sd' ')"

# lines about what cannot be
refused() { # TEXT ARGUMENT...
    local text=$1
    shift
    expect_status 1 tools/experiments "$@" --out "$work/bad"
    expect_line "$text"
    [ ! -e "$work/bad" ] || fail "$* left $work/bad"
}
refused "no table plums; there are ablations, dialogue, reasoning, sources, grid, latency" plums
refused "--size large: tiny or real" sources --size large
refused "--size real wants --model" sources --size real
refused "--corpus story is nothing that --size tiny has" sources --corpus story
refused "--arms plum: sources has start, verifier," sources --arms plum
refused "two is no number" sources --seeds 1,two
