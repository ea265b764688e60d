# history.prune and history.summary: the same bits alone, on ranks and after a stop; every verb cuts
# alike; a decoder-only model's pruned history is computed anew.
set -euo pipefail
source tests/program/common.sh

short=(--set threads=1 --set history.max_tokens=100 --set data.valid=)
train() { # RANKS RUN SETTINGS...
    expect_status 0 ranks "$1" "$regard" train --config $tiny "${short[@]}" --set rollout.turns=4 \
        --set train.updates=4 --set checkpoint.every=2 --set eval.every=0 --run "$work/$2" "${@:3}"
    hash=$(parameters_hash "$(newest "$work/$2")")
}
metric() { # RUN NAME: of the last update
    tail -1 "$work/$1/metrics.jsonl" | grep -o "\"$2\": *[0-9]*" | sed 's/.*: *//'
}
train 0 none
none=$hash
for how in idf mass; do
    train 0 "$how" --set history.prune=$how
    declare "$how=$hash"
    train 3 "$how-ranks" --set history.prune=$how
    expect_same "$how on 3 ranks" "${!how}" "$hash"
    [ "$(metric $how histories_pruned)" -gt 0 ] || fail "$how: no history was pruned"
done
train 0 stop --set history.prune=mass --set train.updates=2
train 3 stop --set history.prune=mass --resume=auto
expect_same "mass after a stop" "$mass" "$hash"
[ "$none" != "$idf" ] && [ "$idf" != "$mass" ] || fail "the three prune alike"

# A dialogue whose first turn does not fit: what sft shows in a dry run is what score reads.
echo '{"messages":[{"role":"user","content":"the tall red lamp"},{"role":"assistant","content":"the lamp is red"},{"role":"user","content":"the price?"},{"role":"assistant","content":"7"}]}' >"$work/one.jsonl"
one=(--set threads=1 --set history.max_tokens=60 --set history.prune=idf)
expect_status 0 "$regard" sft --config $tiny "${one[@]}" --set "data.train=$work/one.jsonl" \
    --set data.valid= --set sft.updates=1 --set sft.batch=1 --run "$work/dry" --dry-run
grep -q 'tokens of earlier messages are cut (history.max_tokens)' "$work/out" ||
    fail "the dry run does not say what it cut"
shown=$(sed -n '/^# turn 2/,$s/^# [ *] \[/[/p' "$work/out" | tr -d '[]\n')
expect_status 0 "$regard" score --model "$work/idf" "${one[@]}" --data "$work/one.jsonl" \
    --out "$work/scored"
read=$(tail -1 "$work/scored" | python3 -c 'import json,sys
print("".join(chr(i - 3) for i in json.loads(sys.stdin.read())["history_tokens"] if i > 2))')
case $shown in "$read"*) ;; *) fail "sft shows $shown, score reads $read" ;; esac

asked='{"messages":[{"role":"user","content":"the tall red lamp by the door"},{"role":"assistant","content":"the lamp is red and it stands by the old door"},{"role":"user","content":"and what is its price in the shop on the corner of the street?"}]}'
echo "$asked" >"$work/asked.jsonl"

# Decoder-only: pruned histories share nothing with those before, and sampler and learner agree.
for ranks in 0 3; do
    train $ranks "causal$ranks" --set model.family=qwen2 --set text.chat=plain \
        --set history.prune=mass --set history.max_tokens=120
    declare "causal$ranks=$hash"
done
expect_same "a causal model's on 3 ranks" "$causal0" "$causal3"
[ "$(metric causal0 histories_pruned)" -gt 0 ] || fail "causal: no history was pruned"

# Summaries: sampler, learner and critic read the slots alike, score gives what sampling gave, and
# sft learns through them.
summary=(--set history.summary=mean --set history.summary_slots=3 --set advantage=turn)
for ranks in 0 3; do
    train $ranks "mean$ranks" "${summary[@]}" --set history.prune=idf --set eval.every=0
    declare "mean$ranks=$hash"
done
expect_same "a summary on 3 ranks" "$mean0" "$mean3"
[ "$mean0" != "$idf" ] || fail "a summary changes nothing"
grep -q '"summary_mass":0\.[0-9]*[1-9]' "$work/mean0/metrics.jsonl" || fail "nothing lies on the slots"
expect_status 0 "$regard" generate --model "$work/mean0" "${short[@]}" "${summary[@]}" \
    --data "$work/asked.jsonl" --out "$work/replies" --set rollout.candidates=2
expect_status 0 "$regard" score --model "$work/mean0" "${short[@]}" "${summary[@]}" \
    --data "$work/replies" --out "$work/scored"
[ "$(grep -c '"summary":{"slots":' "$work/scored")" = 2 ] || fail "no summary in the record"
python3 - "$work/replies" "$work/scored" <<'END' || fail "score reads a summary otherwise than generate"
import json, sys
a, b = ([json.loads(line) for line in open(path)] for path in sys.argv[1:])
numbers = "history_tokens visible summary logp attention_entropy salient_mass summary_mass".split()
sys.exit(any(x[name] != y[name] for x, y in zip(a, b) for name in numbers))
END
expect_status 1 "$regard" train --config $tiny "${summary[@]}" --set model.family=qwen2 --run "$work/no"
grep -q 'history.summary is for encoder-decoders' "$work/err" || fail "a decoder-only model's summary"

# Learned slots: sft gives a model its queries, the same on any ranks; train reads them; Transformers'
# folder does without.
learned=(--set history.summary=learned --set history.summary_slots=3)
for ranks in 0 2; do
    expect_status 0 ranks $ranks "$regard" sft --config $tiny "${short[@]}" "${learned[@]}" \
        --set sft.updates=3 --set sft.batch=8 --set roles.learners=$((ranks + !ranks)) --run "$work/sft$ranks"
    declare "sft$ranks=$(parameters_hash "$(newest "$work/sft$ranks")")"
done
expect_same "learned slots on 2 ranks" "$sft0" "$sft2"
train 0 learned "${learned[@]}" --set "model.path=$work/sft0"
expect_status 0 "$regard" export --model "$work/sft0" --out "$work/exported"
grep -q 'encoder.summary_queries.* is left out' "$work/err" || fail "export says nothing of slots"
expect_status 1 "$regard" train --config $tiny "${learned[@]}" --run "$work/no"
grep -q 'the model has learned no slots; sft' "$work/err" || fail "slots that nobody learned"
expect_status 1 "$regard" train --config $tiny --set "model.path=$work/sft0" --set history.summary=mean \
    --run "$work/no"
grep -q 'the model has learned slots; take learned' "$work/err" || fail "means of learned slots"

for run in idf mass causal0 mean0 learned; do
    [ "$(grep -c '"ratio_deviation_first":0.0,' "$work/$run/metrics.jsonl")" = 4 ] ||
        fail "$run: sampler and learner differ"
done
