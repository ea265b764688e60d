# chat: replies are those of generate to the same history, /again draws another, /new forgets; and
# generate --text says what was said and the replies.
source "$(dirname "$0")/common.sh" "$1"
expect_status 0 "$regard" sft --config $tiny --set sft.updates=15 --set sft.lr=0.01 --run "$work/run"
model=$work/run
plain=(--set rollout.temperature=0 --set rollout.max_new_tokens=12)

chat() { # LINES...: replies go to $work/out
    printf '%s\n' "$@" >"$work/lines"
    expect_status 0 "$regard" chat --model "$model" "${plain[@]}" <"$work/lines"
}
# generated MESSAGES...: the greedy reply to them
generated() {
    python3 - "$@" >"$work/data.jsonl" <<'PYTHON'
import json, sys
print(json.dumps({"messages": [{"role": ("user", "assistant")[i % 2], "content": text}
                               for i, text in enumerate(sys.argv[1:])]}))
PYTHON
    expect_status 0 "$regard" generate --model "$model" --data "$work/data.jsonl" --text "${plain[@]}" \
        --set rollout.candidates=1 --out -
    sed -n 's/^reply: //p' "$work/out"
}

chat 'Hello, where is my parcel?'
first=$(cat "$work/out")
[ "$(wc -l <"$work/out")" = 1 ] || fail "not a line a reply: $first"
expect_same "the reply of generate" "$first" "$(generated 'Hello, where is my parcel?')"
grep -q '^user: Hello, where is my parcel?$' "$work/out" || fail "--text without what was said"
said=${first% ...}
second=$(generated 'Hello, where is my parcel?' "$said" 'It is order K90.')
chat 'Hello, where is my parcel?' '/again' '' 'It is order K90.' '/new' 'Hello, where is my parcel?' \
    '/quit' 'never read'
expect_same "a conversation" "$(printf '%s\n' "$first" "$first" "$second" "$first")" "$(cat "$work/out")"

chat '/again' "$(printf 'word %.0s' {1..400})" 'Hello, where is my parcel?'
expect_said "/again: nothing was said yet"
expect_said "this message alone is longer than history.max_tokens"
expect_same "after a refused message" "$first" "$(cat "$work/out")"

plain=(--set rollout.temperature=1 --set rollout.max_new_tokens=12)
chat 'Hello' '/again' '/again'
[ "$(sort -u "$work/out" | wc -l)" -gt 1 ] || fail "/again draws the same: $(cat "$work/out")"

# A verb that is stopped leaves nothing half-written.
"$regard" generate --model "$model" --data synthetic:1:2000 --set rollout.candidates=8 \
    --out "$work/replies.jsonl" >"$work/out" 2>"$work/err" &
job=$!
until [ -e "$work/replies.jsonl.tmp.$job" ]; do
    kill -0 $job 2>/dev/null || fail "generate ended"
    sleep 0.01
done
kill -TERM $job
status=0
wait $job || status=$?
expect_same "status after SIGTERM" 143 $status
[ -z "$(ls "$work" | grep '^replies')" ] || fail "left behind: $(ls "$work" | grep '^replies')"
