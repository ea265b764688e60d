# score returns what the sampler said, bit for bit, whatever is evaluated together.
set -euo pipefail
source tests/program/common.sh

# A trained model, and one with random weights and no tokenizer.  REGARD_LONG=1: trained longer,
# every length of history, every batch from 1 to 64.
updates=3
lengths=(1 2 3 7 17 31 45 64 65 130 256 511 512)
if [ "${REGARD_LONG:-}" ]; then updates=20; fi
expect_status 0 "$regard" train --config $tiny --set "train.updates=$updates" --set eval.every=0 \
    --set threads=1 --run "$work/run"
trained=$(newest "$work/run")
bare=tests/golden/relu-tied/model
[ ! -e $bare/spiece.model ] && [ ! -e $bare/tokenizer_config.json ] || fail "$bare has a tokenizer"
model=$trained

# Histories of these lengths with ids of the model; every third token is salient.
histories_of() {
    local n ids
    ids=$("$regard" inspect "$model" | sed -n 's/^vocabulary \([0-9]*\),.*/\1/p')
    for n in "$@"; do
        awk -v n="$n" -v ids="$ids" 'BEGIN { h = s = ""
            for (k = 0; k < n; k++) { c = k ? "," : ""
                h = h c (3 + (k * 37 + n * 11) % (ids - 3)); s = s c (k % 3 ? 0 : 1) }
            printf "{\"id\":\"h%d\",\"history_tokens\":[%s],\"salient\":[%s]}\n", n, h, s }'
    done >"$work/histories.jsonl"
    histories=$work/histories.jsonl
}

settings=(--set threads=1 --set rollout.candidates=2 --set rollout.max_new_tokens=16)
generate() { # BATCH OUT SETTINGS...
    expect_status 0 "$regard" generate --model "$model" --data "$histories" --out "$2" \
        "${settings[@]}" --set "infer.batch=$1" "${@:3}"
}
score() { # BATCH DATA OUT SETTINGS...
    expect_status 0 "$regard" score --model "$model" --data "$2" --out "$3" \
        "${settings[@]}" --set "infer.batch=$1" "${@:4}"
}
# The fields that both write, a line a field.
fields() {
    awk '{ count = split("reply_tokens logp token_entropy attention_entropy salient_mass special_mass coverage focus rep_hist rep_self", name, " ")
        for (k = 1; k <= count; k++) {
            if (!match($0, "\"" name[k] "\": ?(\\[[^]]*\\]|[^,}]*)")) { print "no " name[k]; next }
            print substr($0, RSTART, RLENGTH) } }' "$1"
}

# check NAME "MADE SCORED;..." SETTINGS...: what any batch makes and another scores is the same.
check() {
    local name=$1 pairs wanted made scored pair
    IFS=';' read -ra pairs <<<"$2"
    shift 2
    generate 1 "$work/$name.1" "$@"
    wanted=$(wc -l <"$work/histories.jsonl")
    [ "$(wc -l <"$work/$name.1")" = $((2 * wanted)) ] || fail "not two replies a history"
    fields "$work/$name.1" >"$work/said"
    ! grep '^no ' "$work/said" || fail "fields are missing"
    for pair in "${pairs[@]}"; do
        read -r made scored <<<"$pair"
        generate "$made" "$work/$name.made" "$@"
        expect_equal_files "$work/$name.1" "$work/$name.made"
        score "$scored" "$work/$name.made" "$work/$name.scored" "$@"
        fields "$work/$name.scored" >"$work/scored"
        diff "$work/said" "$work/scored" >"$work/err" || fail "$name, made by $made, scored by $scored"
    done
}

few="1 32;2 3;3 8;64 1;32 2"
sampling=(--set rollout.temperature=1 --set rollout.top_k=0 --set rollout.top_p=1)
histories_of "${lengths[@]}"
check sampled "$few" "${sampling[@]}"
distinct=$(sed 's/.*"reply_tokens": *\(\[[^]]*\]\).*/\1/' "$work/sampled.1" | sort -u | wc -l)
[ "$distinct" -ge 20 ] || fail "$distinct distinct replies of 26"
grep -q '"salient_mass": *\[0\.[0-9]*[1-9]' "$work/sampled.1" || fail "no salient mass"
check greedy "$few" --set rollout.temperature=0
model=$bare
histories_of "${lengths[@]}"
check bare "$few" "${sampling[@]}"
# A decoder-only one, with a context of 64.
model=tests/golden/causal/llama/model
histories_of 1 2 3 7 17 31 48
check causal "$few" "${sampling[@]}" --set attention.layers=2
check causal_small_store "1 32;64 1" "${sampling[@]}" --set rollout.cache_tokens=1

if [ "${REGARD_LONG:-}" ]; then
    every=''
    for batch in $(seq 64); do every+="$batch $((65 - batch));"; done
    for model in "$trained" "$bare"; do
        histories_of "${lengths[@]}"
        check batches "$every" "${sampling[@]}"
        histories_of $(seq 512)
        check lengths "7 64;64 7" "${sampling[@]}"
    done
    for kind in llama qwen2 qwen3; do
        model=tests/golden/causal/$kind/model
        histories_of $(seq 48)
        check "$kind" "$every" "${sampling[@]}"
    done
fi
model=$trained

# Dialogues.  Their role markers are special: the line that comes back says so in `visible`.
cat >"$work/dialogues.jsonl" <<'END'
{"messages":[{"role":"user","content":"Is the museum open on Monday?"}]}
{"id":"two","note":{"unknown":[1]},"messages":[{"role":"user","content":"My order 4711 is late."},{"role":"assistant","content":"I am sorry."},{"role":"user","content":"Where is it?"}]}
END
histories=$work/dialogues.jsonl
generate 3 "$work/d" --set rollout.temperature=1
score 2 "$work/d" "$work/d.scored" --set rollout.temperature=1
fields "$work/d" >"$work/said"
fields "$work/d.scored" >"$work/scored"
expect_equal_files "$work/said" "$work/scored"

# A decoder-only model's: what lies on markers is said apart from the rest.
expect_status 0 "$regard" train --config $tiny --set train.updates=1 --set eval.every=0 \
    --set threads=1 --set model.family=qwen3 --set model.kv_heads=2 --run "$work/causal"
model=$(newest "$work/causal")
generate 3 "$work/d" --set rollout.temperature=1
score 2 "$work/d" "$work/d.scored" --set rollout.temperature=1
fields "$work/d" >"$work/said"
fields "$work/d.scored" >"$work/scored"
expect_equal_files "$work/said" "$work/scored"
grep -q '"marker":\[1,' "$work/d" && grep -q '"first_mass":\[0\.' "$work/d" ||
    fail "no marker, no first mass: $(cat "$work/d")"

# A model without a tokenizer; unknown fields; an empty reply; no salience, no id.
model=$bare
cat >"$work/bare.jsonl" <<'END'
{"history_tokens":[5,6,7,1],"reply_tokens":[],"unknown":{"a":[1,2]}}
{"id":"x","history_tokens":[9,8,7,6,5,1],"reply_tokens":[4,5,1]}
END
score 2 "$work/bare.jsonl" "$work/bare.scored"
sed -n 1p "$work/bare.scored" | grep -q '"reply_tokens": *\[\]' || fail "$(cat "$work/bare.scored")"
sed -n 2p "$work/bare.scored" | grep -q '"salient_mass": *\[0\(\.0\)\?, *0' ||
    fail "salient mass without salience: $(cat "$work/bare.scored")"
sed 's/,"reply_tokens":[^]]*\]//' "$work/bare.jsonl" >"$work/bare.histories"
histories=$work/bare.histories
generate 2 "$work/bare.made"
[ "$(wc -l <"$work/bare.made")" = 4 ] || fail "$(cat "$work/bare.made")"
! grep '"reply":' "$work/bare.made" || fail "text without a tokenizer"
