# regard probe: its files, that threads change no byte of them, what --fit leaves and how train uses
# it, and lines about what cannot be.
set -euo pipefail
source tests/program/common.sh

small=(--config $tiny --set sft.updates=30 --set checkpoint.every=30 --set eval.every=0)
expect_status 0 "$regard" sft "${small[@]}" --run "$work/sft"
model=$(newest "$work/sft")
probe=("$regard" probe --config $tiny --model "$model" --data synthetic:1:20:8000
    --set probe.candidates=5 --set probe.histories=44 --set reward.scale=within)

# the figures of every source, form and control, as text, JSON and one page without other files
expect_status 0 "${probe[@]}" --set probe.by=id --set "probe.kind='[a-z]'" --out "$work/one" --fit chrf
for text in 'coverage, mass' 'focus, normalized' 'coverage, random salience' 'random' 'constant' \
    'fitted words' 'fitted attention' 'fitted all' 'shuffled' 'fit.json ranks by' 'teach nothing under'; do
    grep -qF -- "$text" "$work/out" || fail "the text has no $text"
done
for name in distinct without_length pairs_right gain by_labels adds questions kinds; do
    grep -q "\"$name\":" "$work/one/probe.json" || fail "no $name in probe.json"
done
grep -q '"question": "' "$work/one/probe.json" || fail "no kinds of question"
grep -q '<td>fitted words</td>' "$work/one/probe.html" || fail "no row of a fit in the page"
! grep -E 'src=|href=|<script|<img' "$work/one/probe.html" || fail "the page wants other files"

# threads change no byte; nor does the text
cp "$work/out" "$work/text"
expect_status 0 "${probe[@]}" --set probe.by=id --set "probe.kind='[a-z]'" --set threads=3 \
    --out "$work/three" --fit chrf
expect_equal_files "$work/text" "$work/out"
for file in probe.json probe.html fit.json; do
    expect_equal_files "$work/one/$file" "$work/three/$file"
done

# a probe with that fit: its own column; and labels shuffled give another fit
expect_status 0 "${probe[@]}" --set "reward.fit=$work/one/fit.json" --out "$work/again"
grep -q '"name": "fitted"' "$work/again/probe.json" || fail "no column of reward.fit"
[ ! -e "$work/again/fit.json" ] || fail "fit.json without --fit"
expect_status 0 "${probe[@]}" --set probe.shuffled=true --set probe.columns=words,overlap \
    --out "$work/null" --fit chrf
grep -q '"shuffled": true' "$work/null/fit.json" || fail "fit.json does not say that it is a null"
grep -q '"sets": "overlap,words"' "$work/null/fit.json" || fail "fit.json is of other columns"

# train by it: on one rank and on three the same
settings=(--config $tiny --set train.updates=2 --set checkpoint.every=2 --set eval.every=0
    --set reward.sources=fitted --set "reward.fit=$work/null/fit.json")
expect_status 0 "$regard" train "${settings[@]}" --run "$work/run"
[ "$(grep -c '"fitted":' "$work/run/metrics.jsonl")" = 2 ] || fail "no metric of the fit"
expect_status 0 run/mpirun -np 3 "$regard" train "${settings[@]}" --set roles.learners=2 --run "$work/ranks"
expect_equal_metrics "$work/run/metrics.jsonl" "$work/ranks/metrics.jsonl"

# a run whose checkpoints have no hash of its fit, as none had once (of standard input there is none), goes on
expect_status 0 "$regard" train "${settings[@]}" --set 'reward.fit="-"' --run "$work/older" <"$work/null/fit.json"
expect_status 0 "$regard" train "${settings[@]}" --set train.updates=3 --run "$work/older" --resume

# replies that somebody labelled are read, not sampled.  Here the label is their mean log-probability,
# from the tokens that were sampled: the source logprob is it.
for i in $(seq 12); do
    echo "{\"topic\":\"t$((i % 2))\",\"messages\":[{\"role\":\"user\",\"content\":\"What of $i?\"}]}"
done >"$work/asked.jsonl"
expect_status 0 "$regard" generate --model "$model" --data "$work/asked.jsonl" --out "$work/made.jsonl" \
    --set rollout.candidates=5 --set rollout.max_new_tokens=12
awk -F '"logp":\\[' '{ split($2, list, "]"); n = split(list[1], logp, ","); sum = 0
    for (i = 1; i <= n; i++) sum += logp[i]
    printf "{\"score\":%.9g,%s\n", sum / n, substr($0, 2) }' "$work/made.jsonl" >"$work/labelled.jsonl"
read=("$regard" probe --config $tiny --model "$model" --out "$work/labelled")
expect_status 0 "${read[@]}" --data "$work/labelled.jsonl" --fit score --set probe.by=id
grep -q '^12 histories of 12 dialogues of .*labelled.jsonl, 5 labelled replies each' "$work/out" ||
    fail "$(head -1 "$work/out")"
grep -qE '^logprob .* itself$' "$work/out" || fail "logprob is not the label: $(grep '^logprob' "$work/out")"
grep -q '"target": "score"' "$work/labelled/fit.json" || fail "fit.json is of something else"
! grep -q rouge_l "$work/labelled/probe.json" || fail "replies of the data where there are none"
# ... and by their text alone, in the other form, which here says how often there is an e
sed -E 's/.*"messages":(\[[^]]*\]),"reply":("([^"\\]|\\.)*").*/\1 \2/' "$work/made.jsonl" |
    awk '{ at = index($0, "] \""); text = substr($0, at + 2); e = gsub(/e/, "e", text)
        if (substr($0, 1, at) != last) printf "%s{\"messages\":%s,\"replies\":[", last ? "]}\n" : "", substr($0, 1, at)
        else printf ","
        printf "{\"content\":%s,\"es\":%d}", text, e; last = substr($0, 1, at) } END { print "]}" }' >"$work/lists.jsonl"
[ "$(wc -l <"$work/lists.jsonl")" = 12 ] || fail "the test's own file: $(head -c 300 "$work/lists.jsonl")"
expect_status 0 "$regard" probe --config $tiny --model "$model" --out "$work/lists" --data "$work/lists.jsonl" --fit es --set probe.histories=11
grep -qF 'Labelled histories left out: 1, those beyond the first 11' "$work/out" || fail "a history left out unsaid"
grep -q '5 labelled replies each' "$work/out" || fail "$(head -1 "$work/out")"
expect_status 1 "${read[@]/labelled/bad}" --data "$work/labelled.jsonl" --fit mark
expect_line 'no reply has a number "mark"'
long=$(printf 'x%.0s' {1..64})
expect_status 1 "${read[@]/labelled/bad}" --data "$work/labelled.jsonl" --fit "$long"
expect_line "--fit $long: a field's name has at most 63 bytes"
sed '3s/"score":[^,]*,//' "$work/labelled.jsonl" >"$work/gap.jsonl"
expect_status 1 "${read[@]/labelled/bad}" --data "$work/gap.jsonl" --fit score
expect_line 'gap.jsonl:3: no "score"'
sed '4s/"score":[^,]*,/"score":"good",/' "$work/labelled.jsonl" >"$work/gap.jsonl"
expect_status 1 "${read[@]/labelled/bad}" --data "$work/gap.jsonl" --fit score
expect_line 'gap.jsonl:4: "score" must be a number'
expect_status 1 "${read[@]/labelled/bad}" --data "$work/asked.jsonl" --fit score
expect_line 'asked.jsonl:1: no "reply" and no "replies"'
sed '2s/.*/[1]/' "$work/lists.jsonl" >"$work/gap.jsonl"
expect_status 1 "${read[@]/labelled/bad}" --data "$work/gap.jsonl" --fit es
expect_line 'gap.jsonl:2: not a JSON object'

# one dialogue has no error to be sure by; a path that is no UTF-8 harms neither text nor page
odd=$work/od$'\xff'd.jsonl
expect_status 0 "$regard" import-data --data synthetic:1:1:8000 --out "$odd"
expect_status 0 "$regard" probe --config $tiny --model "$model" --data "$odd" --out "$work/odd"
grep -q 'of 1 dialogues; below 5 nothing is said' "$work/out" || fail "one dialogue has verdicts"
! grep -q '"verdict": "\(teaches\|itself\|length\|against\)"' "$work/odd/probe.json" ||
    fail "one dialogue has a verdict"
grep -qF "od"$'\xef\xbf\xbd'"d.jsonl" "$work/odd/probe.html" || fail "the page does not name its data"

# all ranks read one fit, and a run goes on with the fit that it began with, wherever it lies
settings+=(--set train.updates=3)
cp "$work/null/fit.json" "$work/fit.json"
expect_status 1 run/mpirun -np 1 "$regard" train "${settings[@]}" --run "$work/other" : \
    -np 1 "$regard" train "${settings[@]}" --set "reward.fit=$work/one/fit.json" --run "$work/other"
expect_said_once "what reward.fit names has the hash"
expect_status 1 "$regard" train "${settings[@]}" --set "reward.fit=$work/one/fit.json" --run "$work/run" --resume
expect_said_once "the contents of reward.fit are not what this run began with"
expect_said "--change reward.fit=FILE"
expect_status 0 "$regard" train "${settings[@]}" --set "reward.fit=$work/fit.json" --run "$work/run" --resume

# lines about what cannot be; nothing is left
expect_status 1 "${probe[@]}" --out "$work/bad" --set rollout.temperature=0 --fit chrf
expect_line "--fit chrf: no history has replies that differ in it"
grep -q 'coverage, mass' "$work/out" || fail "a fit that cannot be made threw the tables away"
expect_status 1 "${probe[@]}" --out "$work/bad" --set probe.candidates=3
expect_line "probe.candidates"
expect_status 1 "${probe[@]}" --out "$work/bad" --fit chorf
expect_line "--fit chorf" "rouge_l, chrf"
expect_status 1 "${probe[@]}" --out "$work/bad" --set probe.columns=wurds
expect_line 'probe.columns: "wurds" is no set of columns'
expect_status 1 "${probe[@]}" --out "$work/bad" --set probe.histories=6 --fit chrf
expect_line "--fit chrf: a fit needs 10 dialogues, and there are at most 6 of them in synthetic:1:20:8000; raise probe.histories"
[ ! -s "$work/out" ] || fail "sampled before it refused"
expect_status 1 "${probe[@]}" --out "$work/bad" --set "probe.kind=("
expect_line "probe.kind"
[ ! -e "$work/bad" ] || fail "a failed probe left $(ls "$work/bad")"
expect_status 1 "$regard" train --config $tiny --set reward.sources=fitted \
    --set "reward.fit=$work/one/fit.json" --run "$work/bad"
expect_line "has columns of every head's attention; set attention.all_heads=true"
expect_status 1 "$regard" train --config $tiny --set reward.sources=fitted --run "$work/bad"
expect_line "the source fitted reads reward.fit"
expect_status 1 "$regard" train --config $tiny --set "reward.fit=$work/null/fit.json" --run "$work/bad"
expect_line "reward.fit is of the source fitted"
