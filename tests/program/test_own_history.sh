# eval.history: own: a dialogue's later turns have the model's own replies before them, first turns and
# what is measured of the gold replies stay as they are, and batches change nothing.
set -euo pipefail
source tests/program/common.sh

expect_status 0 "$regard" train --config $tiny --set train.updates=1 --set eval.every=0 --run "$work/run"
model=$(newest "$work/run")
measure() { # NAME SETTINGS...
    expect_status 0 "$regard" eval --model "$model" --data synthetic:1:4:200 --out "$work/$1.json" \
        --samples "$work/$1.jsonl" --set rollout.max_new_tokens=8 --set history.max_tokens=512 "${@:2}"
}
measure gold
measure own --set eval.history=own
measure alone --set eval.history=own --set infer.batch=1
expect_equal_files "$work/own.json" "$work/alone.json"
expect_equal_files "$work/own.jsonl" "$work/alone.jsonl"
first() { grep '^{"turn":1,' "$work/$1.jsonl"; }
expect_same "first turns" "$(first gold)" "$(first own)"
number() { sed -n "s/.*\"$2\": \([^,}]*\).*/\1/p" "$work/$1.json"; }
expect_same perplexity "$(number gold perplexity)" "$(number own perplexity)"
[ "$(number gold reply_length)" ] && ! cmp -s "$work/gold.jsonl" "$work/own.jsonl" || fail "the histories are the data's"

# Every reply is the assistant's message before the next turn.
awk '{ match($0, /"reply":"([^"\\]|\\.)*"/); reply = substr($0, RSTART + 8, RLENGTH - 8)
       turn = substr($0, 9) + 0
       if (turn > 1) { seen++; if (!index($0, "{\"role\":\"assistant\",\"content\":" last "}")) { print; exit 1 } }
       last = reply }
     END { exit seen < 4 }' "$work/own.jsonl" || fail "a turn without the reply before it"

# A source reads them too; where bytes are no UTF-8 a sample leaves them out and it sees U+FFFD.
measure judged --set eval.history=own --set reward.sources=command \
    --set reward.command="tee $work/asked | sed -u 's/^{\"id\":\(\"[^\"]*\"\).*/{\"id\":\1,\"reward\":1}/'"
messages() { grep -o '"messages":.*,"reply":"\([^"\\]\|\\.\)*"' "$1" | LC_ALL=C sed 's/\xef\xbf\xbd//g' | sort; }
[ -s "$work/asked" ] || fail "nothing was asked"
expect_same "what a source reads" "$(messages "$work/judged.jsonl")" "$(messages "$work/asked")"

# A command is asked for a batch of replies at once, not for all that are held out.
cat >"$work/counts.sh" <<'END'
ids=()
while :; do
    status=0
    IFS= read -r -t 0.3 line || status=$?
    if [ $status = 0 ]; then
        line=${line#*\"id\":\"}
        ids+=("${line%%\"*}")
    elif [ $status -le 128 ]; then
        exit
    elif [ ${#ids[@]} != 0 ]; then
        echo ${#ids[@]} >>"$1"
        printf '{"id":"%s","reward":1}\n' "${ids[@]}"
        ids=()
    fi
done
END
measure counted --set infer.batch=6 --set reward.sources=command --set reward.command="bash $work/counts.sh $work/counts"
all=$(wc -l <"$work/counted.jsonl")
[ "$all" -gt 6 ] && [ "$all" = $(($(paste -sd+ "$work/counts"))) ] || fail "$all replies, asked: $(cat "$work/counts")"
[ "$(sort -n "$work/counts" | tail -1)" = 6 ] || fail "asked for more than a batch: $(cat "$work/counts")"
