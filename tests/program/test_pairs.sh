# regard pairs: by each rule, the same in any batches, of replies that generate says too; nothing is a
# line; what it writes is read as preferences by split and names who wrote a reply.
set -euo pipefail
source tests/program/common.sh

expect_status 0 "$regard" sft --config $tiny --set sft.updates=40 --set sft.lr=3e-3 --set checkpoint.every=40 \
    --set eval.every=0 --run "$work/sft"
model=$(newest "$work/sft")
data=synthetic:1:3:8000
made() { # ARGUMENT...: of $data
    "$regard" pairs --config $tiny --model "$model" --data "$data" --set pairs.margin=0 \
        --set rollout.candidates=4 "$@"
}
expect_status 0 made --out "$work/pairs" --set pairs.histories=6 --set pairs.per_history=2
grep -qE '[0-9]+ pairs of 6 histories' "$work/err" || fail "it does not say how many"
expect_status 0 made --out - --set pairs.histories=6 --set pairs.per_history=2 \
    --set infer.batch=5 --set threads=2 --set control=shuffled
expect_equal_files "$work/pairs" "$work/out"

# scores, sides and margins of what was written
field() { sed -E "s/.*\"$1\":\"?([^\",}]*).*/\1/" "$2"; }
paste <(field chosen_score "$work/pairs") <(field rejected_score "$work/pairs") |
    awk '$1 <= $2 { exit 1 }' || fail "a pair without a difference"
expect_same "who wrote what" "model model ngram" \
    "$(paste -d' ' <(field chosen_by "$work/pairs") <(field rejected_by "$work/pairs") <(field heuristic "$work/pairs") | sort -u)"
[ "$(cut -d, -f1-2 "$work/pairs" | uniq -c | awk '$1 > 2')" = "" ] || fail "more than pairs.per_history"
expect_status 0 made --out "$work/fewer" --set pairs.histories=6 --set pairs.margin=0.05
paste <(field chosen_score "$work/fewer") <(field rejected_score "$work/fewer") |
    awk '$1 - $2 <= 0.05 { exit 1 }' || fail "a pair within the margin"

# demonstration: the data's reply, by whom; a file is taken for people's
gold=(--set pairs.heuristic=demonstration --set rollout.temperature=0 --set rollout.candidates=1)
expect_status 0 made --out "$work/gold" "${gold[@]}"
expect_same "the set's author" "program model" \
    "$(paste -d' ' <(field chosen_by "$work/gold") <(field rejected_by "$work/gold") | sort -u)"
"$regard" import-data --data synthetic:1:3:8000 --out "$work/lines" 2>/dev/null
data=$work/lines
expect_status 0 made --out "$work/by" "${gold[@]}"
expect_same "a file's author" human "$(field chosen_by "$work/by" | sort -u)"
expect_same "the rest" "$(sed 's/"program"/"human"/' "$work/gold")" "$(cat "$work/by")"

# users with names: the control gives them each other's, of all lines of a dialogue alike
data=speakers:1:6
expect_status 0 made --out "$work/named" "${gold[@]}"
expect_status 0 made --out "$work/permuted" "${gold[@]}" --set control=permuted_names
names() { grep -o '"name":"[^"]*"' "$1"; }
! cmp -s <(names "$work/named") <(names "$work/permuted") || fail "control: permuted_names changes no name"
expect_same "all names" "$(names "$work/named" | sort -u)" "$(names "$work/permuted" | sort -u)"

# they are preference lines, whose turns of one dialogue stay together
expect_status 0 "$regard" split --data "$work/by" --out "$work/parts" --set split.by=id --set split.train=0.5 --set seed=2 \
    --set split.valid=0.5 --set split.test=0
for part in train valid; do field id "$work/parts/$part.jsonl" | sort -u; done | sort >"$work/ids"
expect_same "ids in one part" "$(sort -u "$work/ids")" "$(cat "$work/ids")"

sed 's/^{"id":"[^"]*",/{/' "$work/lines" >"$work/nameless"
data=$work/nameless
expect_status 0 made --out "$work/numbered" "${gold[@]}"
expect_same "ids of lines that have none" "1 2 3" "$(field id "$work/numbered" | sort -u | paste -sd' ')"

# a verifier's: what is right over what is not; where nothing differs a line says so
for user in one two three; do
    echo '{"messages":[{"role":"user","content":"'$user'"},{"role":"assistant","content":"the"}],"answer":"the","verify":"contains"}'
done >"$work/answers"
data=$work/answers
expect_status 0 made --out "$work/right" --set pairs.heuristic=verifier --set rollout.candidates=32
[ "$(field chosen "$work/right" | grep -ciw the)" = "$(wc -l <"$work/right")" ] || fail "a wrong reply was chosen"
[ "$(field rejected "$work/right" | grep -ciw the)" = 0 ] || fail "a right reply was rejected"
expect_same "the verifier's scores" "1.0 0.0" \
    "$(paste -d' ' <(field chosen_score "$work/right") <(field rejected_score "$work/right") | sort -u)"
data=reverse:1:4
expect_status 1 made --out "$work/none" --set pairs.heuristic=verifier
expect_line "reverse:1:4: no pair: none of 4 histories has two different replies whose scores" \
    "(pairs.heuristic: verifier) differ by more than pairs.margin, 0"
[ ! -e "$work/none" ] || fail "a file of no pairs"
