# The quickstart's last words say what moved beyond chance, from the files that eval writes; its
# table's names are eval's; it finds the source that the probe thinks most of.
set -euo pipefail
source tests/program/common.sh
out=$work
eval "$(sed -n '/^moved() /,/^}$/p; /^best_source() /,/^}$/p' run/quickstart | sed "s#build/regard#$regard#")"

expect_status 0 "$regard" eval --config $tiny --model tests/golden/bytes/model --data synthetic:1:2 \
    --set rollout.max_new_tokens=4 --out "$work/made.json"
names=$(grep -oE '\^\([a-z_|]+\)\$/\) continue' run/quickstart | sed -E 's/\^\(([a-z_|]+)\).*/\1/' | tr '|' ' ')
for name in $names $(grep -o '\$(moved [a-z]* [a-z_]*)' run/quickstart | tr -d ')' | cut -d ' ' -f 3); do
    grep -q "\"$name\": " "$work/made.json" || fail "eval has no $name: $(cat "$work/made.json")"
done
# Eight dialogues: sums of two replies each.
parts() { # ROW OTHER MEAN FILE: four dialogues of each
    local rows="[$1], [$2], [$1], [$2], [$1], [$2], [$1], [$2]"
    sed "s/\"by_dialogue\":.*/\"by_dialogue\": {\"metrics\": [\"rouge_l\"], \"rows\": [$rows]}}/; s/\"rouge_l\": [^,]*,/\"rouge_l\": $3,/" \
        "$work/made.json" >"$4"
}
parts "1, 2" "1, 2" 0.5 "$work/before.json"
parts "2, 2" "1.9, 2" 0.975 "$work/found.json"
parts "0, 2" "0.1, 2" 0.025 "$work/coin.json"
parts "0, 2" "2, 2" 0.5 "$work/attention.json"
[[ $(moved found rouge_l) =~ ^"rose by 0.475, beyond twice its error of 0.0"[0-9]+$ ]] || fail "$(moved found rouge_l)"
[[ $(moved coin rouge_l) =~ ^"fell by 0.475, beyond twice its error of 0.0"[0-9]+$ ]] || fail "$(moved coin rouge_l)"
[[ $(moved attention rouge_l) == "changed by no more than chance would (+0, error "* ]] || fail "$(moved attention rouge_l)"
# Small figures keep their digits.
parts "1.003, 2" "1.004, 2" 0.50175 "$work/found.json"
[[ $(moved found rouge_l) =~ ^"rose by 0.0018, beyond twice its error of 0.000"[1-9]$ ]] || fail "$(moved found rouge_l)"
parts "2, 2" "1.9, 2" 0.975 "$work/found.json"
# A file from before evaluations said which lines they are of.
sed -i 's/"by_dialogue": {/&"lines_sha256": "aa", /' "$work/found.json"
expect_same "no error" "changed by +0.475, of which no error is known" "$(moved found rouge_l 2>"$work/err")"

mkdir -p "$work/probe"
cat >"$work/probe/probe.txt" <<'P'
                   within          length         rouge_l            best  verdict
verifier    0.056 (0.017)   0.192 (0.112)   0.100 (0.031)   0.015 (0.006)  teaches
logprob     0.056 (0.017)   0.192 (0.112)   0.100 (0.031)   0.020 (0.006)  teaches
majority    0.056 (0.017)   0.192 (0.112)   0.100 (0.031)   0.030 (0.006)  hint
random      0.056 (0.017)   0.192 (0.112)   0.100 (0.031)   0.040 (0.006)  teaches
P
expect_same "best source" logprob "$(best_source)"
sed -i 's/^\(majority.*\) hint/\1 itself/' "$work/probe/probe.txt"
expect_same "itself" majority "$(best_source)"
sed -i 's/teaches\|itself/nothing/' "$work/probe/probe.txt"
[ -z "$(best_source)" ] || fail "a source that teaches nothing: $(best_source)"
