# score returns what the sampler said, bit for bit, whatever is evaluated together.
set -euo pipefail
source tests/program/common.sh

expect_status 0 "$regard" train --config $tiny --set train.updates=1 --set eval.every=0 \
    --set threads=1 --run "$work/run"
model=$(newest "$work/run")

# Twelve histories of 3, 10, 17, ... tokens; every third token is salient.
for i in $(seq 0 11); do
    awk -v i="$i" 'BEGIN { n = 3 + 7 * i; h = s = ""
        for (k = 0; k < n; k++) { c = k ? "," : ""
            h = h c (3 + (k * 37 + i * 11) % 256); s = s c (k % 3 ? 0 : 1) }
        printf "{\"id\":\"h%d\",\"history_tokens\":[%s],\"salient\":[%s]}\n", i, h, s }'
done >"$work/histories.jsonl"

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
    awk '{ count = split("reply_tokens logp entropy salient_mass coverage focus rep_hist rep_self", name, " ")
        for (k = 1; k <= count; k++) {
            if (!match($0, "\"" name[k] "\": ?(\\[[^]]*\\]|[^,}]*)")) { print "no " name[k]; next }
            print substr($0, RSTART, RLENGTH) } }' "$1"
}

check() { # NAME SETTINGS...: generate with every batch, score with another
    local name=$1 wanted
    shift
    generate 1 "$work/$name.1" "$@"
    for pair in "1 32" "2 3" "3 8" "8 1" "32 2"; do
        read -r made scored <<<"$pair"
        generate "$made" "$work/$name.$made" "$@"
        expect_equal_files "$work/$name.1" "$work/$name.$made"
        score "$scored" "$work/$name.$made" "$work/$name.scored" "$@"
        fields "$work/$name.$made" >"$work/said"
        fields "$work/$name.scored" >"$work/scored"
        ! grep '^no ' "$work/said" "$work/scored" || fail "fields are missing"
        diff "$work/said" "$work/scored" >"$work/err" || fail "$name, made by $made, scored by $scored"
    done
    wanted=$(wc -l <"$work/histories.jsonl")
    [ "$(wc -l <"$work/$name.1")" = $((2 * wanted)) ] || fail "not two replies a history"
}

histories=$work/histories.jsonl
check sampled --set rollout.temperature=1 --set rollout.top_k=0 --set rollout.top_p=1
distinct=$(sed 's/.*"reply_tokens": *\(\[[^]]*\]\).*/\1/' "$work/sampled.1" | sort -u | wc -l)
[ "$distinct" -ge 20 ] || fail "$distinct distinct replies of 24"
grep -q '"salient_mass": *\[0\.[0-9]*[1-9]' "$work/sampled.1" || fail "no salient mass"
check greedy --set rollout.temperature=0

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

# A model without a tokenizer; unknown fields; an empty reply; no salience, no id.
bare=tests/golden/relu-tied/model
[ ! -e $bare/spiece.model ] && [ ! -e $bare/tokenizer_config.json ] || fail "$bare has a tokenizer"
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
