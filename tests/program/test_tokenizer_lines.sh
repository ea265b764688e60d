# regard tokenizer encode and decode: lines of JSON with a tokenizer.json, there and back.
set -euo pipefail
. tests/program/common.sh "$1"
fixtures=tests/text/fixtures/bpe

# The lines' ids are the fixture's, made by the tokenizers library.
for kind in gpt2 digits llama3 qwen2; do
    sed -E 's/\],"(decoded|plain_ids).*/]}/' $fixtures/$kind/expected.jsonl >"$work/wanted.jsonl"
    expect_status 0 "$regard" tokenizer encode --model $fixtures/$kind --data $fixtures/texts.jsonl --out "$work/ids.jsonl"
    cmp "$work/wanted.jsonl" "$work/ids.jsonl" || fail "$kind: other ids"
done

# Newlines, U+0000, quotes and any id come back, as a file and through standard input and output.
printf '%s\n' '{"id":"a","text":"Two\nlines\u0000\"\\ é"}' '{"id":[1,{"b":null}],"text":""}' '{"text":"no id"}' >"$work/in.jsonl"
expect_status 0 "$regard" tokenizer encode --model $fixtures/gpt2 --data "$work/in.jsonl" --out "$work/ids.jsonl"
expect_status 0 "$regard" tokenizer decode --model $fixtures/gpt2 --data "$work/ids.jsonl" --out "$work/back.jsonl"
cmp "$work/in.jsonl" "$work/back.jsonl" || fail "$(cat "$work/back.jsonl")"
"$regard" tokenizer decode --model $fixtures/gpt2 --data - --out "$work/back.jsonl" <"$work/ids.jsonl" || fail "standard input"
cmp "$work/in.jsonl" "$work/back.jsonl" || fail "$(cat "$work/back.jsonl")"

# Lines of text stay what they were.
printf 'the ticket office\n\n  opens\n' >"$work/text"
expect_status 0 "$regard" tokenizer encode --model $fixtures/qwen2 --data "$work/text" --out "$work/ids"
expect_status 0 "$regard" tokenizer decode --model $fixtures/qwen2 --data "$work/ids" --out "$work/back"
cmp "$work/text" "$work/back" || fail "lines of text"

# refused VERB LINE WORDS: the second line's error names it, and no file appears.
refused() {
    printf '%s\n%s\n' '{"id":1,"text":"a","ids":[1]}' "$2" >"$work/bad.jsonl"
    expect_status 1 "$regard" tokenizer "$1" --model $fixtures/gpt2 --data "$work/bad.jsonl" --out "$work/none.jsonl"
    [ "$(wc -l <"$work/err")" = 1 ] || fail "not one line"
    grep -qF "bad.jsonl:2: $3" "$work/err" || fail "$2: no \"$3\""
    [ ! -e "$work/none.jsonl" ] || fail "a file of half the lines"
}
refused encode '{"id":2}' 'there is no "text"'
refused encode '{"id":2,"text":7}' 'there is no "text"'
refused encode '{"id":2,"text":"a"' 'bad JSON'
refused encode '' 'bad JSON'
refused decode '{"id":2,"ids":"1 2"}' 'there is no list "ids"'
refused decode '{"id":2,"ids":[1,452]}' '"ids", place 1: not a token id below 452'
refused decode '{"id":2,"ids":[1.5]}' '"ids", place 0'
