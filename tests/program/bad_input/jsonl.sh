# Lines of dialogues and tokens: file, line, key or column.
section jsonl

model=$checkpoint

# second VERB NAME PATTERN LINE: the second line (in printf's escapes) is refused by the verb.
second() {
    local verb=$1 extra=()
    case $verb in
    train | sft)
        cp "$dialogues" bad.jsonl
        printf "$4\n" >line; sed -i '1r line' bad.jsonl; rm line
        refuses "$verb: $2" 1 "(rank 0: )?bad.jsonl:2: $3" "$verb" --config "$tiny" \
            --set data.train=bad.jsonl --run run
        return
        ;;
    tokenizer)
        { head -1 "$dialogues" && printf "$4\n"; } >bad.jsonl
        refuses "$verb: $2" 1 "bad.jsonl:2: $3" tokenizer train --data bad.jsonl --out out
        return
        ;;
    generate) { echo "${good%%,\"reply*}}" && printf "$4\n"; } >bad.jsonl ;;
    score) { echo "$good" && printf "$4\n"; } >bad.jsonl ;;
    eval) { head -1 "$dialogues" && printf "$4\n"; } >bad.jsonl ;;
    update) { echo "${good%?},\"logp\":[-1,-1],\"advantage\":1}" && printf "$4\n"; } >bad.jsonl ;;
    esac
    refuses "$verb: $2" 1 "bad.jsonl:2: $3" "$verb" --model "$model" --data bad.jsonl --out out
}

history='"history_tokens":[5,6,1]'
user='{"role":"user","content":"Hi"}'
assistant='{"role":"assistant","content":"Hello"}'
# As JSON.
second score "a line is cut" 'bad JSON: .*byte 2[0-9]' '{"history_tokens":[5,6,1]'
second score "two objects" 'bad JSON: .*end of file expected.*byte' "{$history} {$history}"
second score "a name twice" 'bad JSON: duplicate object key.*byte' '{"id":1,"id":2}'
second score "not UTF-8" 'bad JSON: .*decode byte 0xff.*byte' '{"id":"\377"}'
second score "half a surrogate" 'bad JSON: .*(surrogate|Unicode).*byte' '{"id":"\\ud800"}'
second score "a zero byte" 'bad JSON: .*byte' '{"id":"a\000b"}'
second score "an escaped zero byte" 'bad JSON: .*u0000.*byte' '{"id":"\\u0000"}'
second score "a control character" 'bad JSON: control character 0x1.*byte' '{"id":"\001"}'
second score "NaN" 'bad JSON: invalid token.*byte' '{"turn":NaN}'
second score "a number too big" '"turn" must be a whole number' \
    '{"turn":99999999999999999999,"history_tokens":[1],"reply_tokens":[1]}'
second score "an id beyond 64 bits" '"id" is a number beyond 64 bits; write it as text' \
    '{"id":99999999999999999999,"history_tokens":[1],"reply_tokens":[1]}'
second score "a byte order mark" 'bad JSON: a byte order mark.*remove it' "\357\273\277{$history}"
second score "brackets without end" 'bad JSON: maximum parsing depth.*byte' \
    "$(head -c 5000 /dev/zero | tr '\0' '[')"
second score "a list" 'not a JSON object' '[1]'
# Messages.
second score "nothing known" 'no "messages" and no "history_tokens"' '{"text":"Hi"}'
second eval "messages are text" '"messages" must be a list' '{"messages":"Hi"}'
second eval "no message" '"messages" is empty' '{"messages":[]}'
second eval "a message is text" 'message 1 is not an object' '{"messages":["Hi"]}'
second train "a message without role" 'message 1 has no "role"' '{"messages":[{"content":"Hi"}]}'
second train "a message without content" 'message 2 has no "content"' \
    "{\"messages\":[$user,{\"role\":\"assistant\"}]}"
named() { echo "{\"messages\":[{\"role\":\"user\",\"name\":$1,\"content\":\"Hi\"},$assistant]}"; }
for name in 7 '""' '" Ana"' "\"$(head -c 32 /dev/zero | tr '\0' x)\""; do
    second train "a name that is none" 'message 1: "name" must be text of one line, 1 to 31 bytes' "$(named "$name")"
done
nine=
for name in a b c d e f g h i; do
    nine="$nine{\"role\":\"user\",\"name\":\"$name\",\"content\":\"Hi\"},$assistant,"
done
second train "nine names" 'message 17: more than 8 users have names' "{\"messages\":[${nine%,}]}"
second score "speakers without tokens" '"speaker" must list for each of the 3 tokens' \
    "{$history,\"speakers\":[\"Ana\"],\"speaker\":[0,2,0],\"reply_tokens\":[7,1]}"
second score "speakers without names" '"speakers" must be a list of 1 to 8 names' \
    "{$history,\"speakers\":[],\"speaker\":[0,0,0],\"reply_tokens\":[7,1]}"
second sft "an unknown role" 'message 1: unknown role "tool"' \
    '{"messages":[{"role":"tool","content":"Hi"}]}'
second sft "a system message alone" 'a system message alone is no dialogue' \
    '{"messages":[{"role":"system","content":"Hi"}]}'
second sft "a late system message" 'message 2 is the system.s, which stands before all others' \
    "{\"messages\":[$user,{\"role\":\"system\",\"content\":\"Hi\"}]}"
second sft "two users in a row" 'message 2: two user messages in a row' "{\"messages\":[$user,$user]}"
second sft "the assistant begins" 'a dialogue starts with the user' "{\"messages\":[$assistant]}"
second tokenizer "an empty content" 'message 1: "content" is empty' \
    '{"messages":[{"role":"user","content":" "}]}'
second tokenizer "a content of numbers" 'message 1: "content" must be text' \
    '{"messages":[{"role":"user","content":1}]}'
second train "the user ends" 'the last message is the user' "{\"messages\":[$user]}"
second generate "the assistant ends" 'the last message is the assistant' \
    "{\"messages\":[$user,$assistant]}"
second train "a token line" 'a token line; training wants "messages"' "{$history}"
second eval "slots are no list" 'message 1: "slots" must be a list' \
    '{"messages":[{"role":"user","content":"Hi","slots":1}]}'
# Tokens.
second score "an id is a list" '"id" must be text or a number' "{\"id\":[],$history}"
second score "no reply" 'no "reply_tokens"' "{$history}"
second score "a reply of text" '"reply_tokens" must be a list' "{$history,\"reply_tokens\":\"x\"}"
second generate "an empty history" '"history_tokens" is empty' '{"history_tokens":[]}'
second generate "a history of text" '"history_tokens" must be a list' '{"history_tokens":"x"}'
second generate "a negative token" '"history_tokens"\[1\] is not a token id' '{"history_tokens":[1,-1]}'
second generate "a fraction of a token" '"history_tokens"\[1\] is not a token id' \
    '{"history_tokens":[1,1.0]}'
second generate "a token beyond the vocabulary" 'history_tokens\[1\] is 384, the vocabulary has 384' \
    '{"history_tokens":[1,384]}'
second score "a reply beyond the vocabulary" 'reply_tokens\[0\] is 9999, the vocabulary has 384' \
    "{$history,\"reply_tokens\":[9999]}"
second generate "a token beyond 32 bits" '"history_tokens"\[0\] is not a token id' \
    '{"history_tokens":[4294967297]}'
second generate "a history longer than the limit" '1025 history_tokens, more than history.max_tokens \(1024\)' \
    "{\"history_tokens\":[$(printf '5,%.0s' $(seq 1024))5]}"
second generate "turn 0" '"turn" must be a whole number from 1' "{$history,\"turn\":0}"
second generate "a mark too few" '"salient" must list a 0 or 1 for each of the 3 tokens' \
    "{$history,\"salient\":[0,1]}"
second generate "a mark of 2" '"visible"\[2\] must be 0 or 1' "{$history,\"visible\":[0,1,2]}"
second generate "a cut behind the history" '"cuts"\[1\] must be above the one before it' "{$history,\"cuts\":[1,2]}"
second generate "a summary of no turn" '"summary" must be' "{$history,\"summary\":{\"slots\":1,\"turns\":[]}}"
second generate "more slots than tokens" '"summary" must be' "{$history,\"summary\":{\"slots\":3,\"turns\":[[5]]}}"
second generate "a turn of a summary without tokens" '"summary": turn 1 has no tokens' \
    "{$history,\"summary\":{\"slots\":1,\"turns\":[[]]}}"
second generate "a summary's token that is none" '"summary": turn 1.s token 2 is no token id' \
    "{$history,\"summary\":{\"slots\":1,\"turns\":[[5,\"a\"]]}}"
second generate "two slots for one turn" '"summary": slots is 2, but this model makes 1 of these turns' \
    "{$history,\"summary\":{\"slots\":2,\"turns\":[[5]]}}"
second generate "cuts and a summary" 'a line has "cuts" or a "summary"' \
    "{$history,\"cuts\":[1],\"summary\":{\"slots\":1,\"turns\":[[5]]}}"
# Updates.
reply="$history,\"reply_tokens\":[7,1]"
second update "no log-probabilities" '"logp" must list a number for each of the 2' "{$reply}"
second update "a log-probability too few" '"logp" must list a number for each of the 2' \
    "{$reply,\"logp\":[-1],\"advantage\":1}"
second update "a log-probability above 0" '"logp"\[1\] is above 0' \
    "{$reply,\"logp\":[-1,0.5],\"advantage\":1}"
second update "an endless log-probability" '"logp"\[0\] is not a finite number' \
    "{$reply,\"logp\":[-1e60,0],\"advantage\":1}"
second update "a log-probability of text" '"logp"\[0\] is not a finite number' \
    "{$reply,\"logp\":[\"x\",0],\"advantage\":1}"
second update "no advantage" '"advantage" must be a finite number' "{$reply,\"logp\":[-1,-1]}"
second update "an advantage beyond float" '"advantage" must be a finite number, as a float' \
    "{$reply,\"logp\":[-1,-1],\"advantage\":1e300}"
second update "a dialogue" 'no "history_tokens"' "{\"messages\":[$user,$assistant]}"

# Whole files.
printf '\n \n' >blank.jsonl
: >empty.jsonl
for file in empty blank; do
    refuses "score: an $file file" 1 "$file.jsonl: no line with data" score --model "$model" \
        --data $file.jsonl --out out
done
refuses "train: an empty file" 1 '.*empty.jsonl: no line with data' train --config "$tiny" \
    --set data.train=empty.jsonl --run run
refuses "train: an empty held-out file" 1 '.*empty.jsonl: no line with data' train --config "$tiny" \
    --set data.valid=empty.jsonl --run run
refuses "sft: an empty file" 1 '.*empty.jsonl: no line with data' sft --config "$tiny" \
    --set data.train=empty.jsonl --run run
refuses "tokenizer: an empty file" 1 'empty.jsonl: no line with data' tokenizer train \
    --data empty.jsonl --out out
refuses "eval: an empty file" 1 'empty.jsonl: no line with data' eval --model "$model" \
    --data empty.jsonl --out out
gzip -c "$dialogues" >packed.jsonl.gz
packed='.*packed.jsonl.gz is compressed by gzip, not lines of JSON; gunzip it first'
refuses "train: a compressed file" 1 "$packed" train --config "$tiny" --set data.train=packed.jsonl.gz --run run
refuses "import-data: a compressed file" 1 "$packed" import-data --data packed.jsonl.gz --out out
refuses "train: no file" 1 '.*cannot read absent.jsonl: No such file' train --config "$tiny" \
    --set data.train=absent.jsonl --run run
refuses "score: a folder" 1 'cannot read .*: it is a directory' score --model "$model" --data "$golden" \
    --out out
refuses "score: a model for data" 1 '.*model.safetensors:1: bad JSON' score --model "$model" \
    --data "$golden/bf16/model/model.safetensors" --out out
refuses "a batch larger than the data set" 1 \
    '.*rollout.dialogues is 5 but .*dialogues.jsonl has 4 dialogues' train --config "$tiny" \
    --set data.train="$dialogues" --set rollout.dialogues=5 --run run
refuses "a batch larger than the turns" 1 '.*sft.batch is 5 but .*dialogues.jsonl has 4 turns' sft \
    --config "$tiny" --set data.train="$dialogues" --set sft.batch=5 --run run
for corpus in 1 1:0 x:5 1:5:x 1:-5 1:99999999999 1:5:99999999999999999999; do
    refuses "a corpus of synthetic:$corpus" 1 ".*synthetic:$corpus: write synthetic:SEED:COUNT" \
        train --config "$tiny" --set "data.train=synthetic:$corpus" --run run
done
# eval --compare
table() { # PATTERN TEXT
    echo "$2" >table.json
    refuses "eval: a table of $2" 1 "table.json:$1" eval --compare table.json table.json
}
table ' expected a JSON object' '[1]'
table ' "coverage" is missing' '{"reward":1}'
table ' "reward" must be a number' '{"reward":"high"}'
table '[12]: bad JSON: .*column' '{"reward"' 
# Lines of ids and texts.
echo "5 384 x" >ids
refuses "tokenizer: an id beyond the vocabulary" 1 'ids:1: "384 x" is not a token id below 384' \
    tokenizer decode --model "$model" --data ids --out out
# split
for share in 0.5 0; do
    refuses "split: shares that are no whole" 1 'split.train, split.valid and split.test are .* together' \
        split --data slot:1:50 --out out --set split.train=$share
done
refuses "split: a share beyond 1" 1 '.*split.train must be between 0 and 1' split --data slot:1:50 --out out \
    --set split.train=1.5
refuses "split: a part of nothing" 1 'slot:1:2: none of its 2 lines falls to (valid|test)' split --data slot:1:2 --out out
refuses "split: a field that is not there" 1 'slot:1:50: no "topic", which split.by names' split --data slot:1:50 \
    --out out --set split.by=topic
echo '[1]' >list
refuses "split: a JSON list" 1 'list: a JSON list, not JSON Lines' split --data list --out out
printf '{"a":1}\n[1]\n' >line
refuses "split: a line that is no object" 1 'line:2: not a JSON object' split --data line --out out
refuses "preferences for dialogues" 1 '.*preferences:1:4: pairs of replies, which regard reward learns from' \
    train --config "$tiny" --set data.train=preferences:1:4 --run run
# pairs
greedy="pairs needs rollout.temperature above 0"
refuses "pairs: greedy replies" 1 "$greedy" pairs --model "$model" --data "$dialogues" --out out \
    --set rollout.temperature=0
refuses "pairs: of one reply" 1 'pairs needs rollout.candidates of 2' pairs --model "$model" --data "$dialogues" \
    --out out --set rollout.candidates=1
refuses "pairs: an unknown rule" 1 '.*pairs.heuristic must be one of ngram' pairs --model "$model" --data "$dialogues" \
    --out out --set pairs.heuristic=taste
refuses "pairs: nothing to verify" 1 '.*:1: the source verifier finds no "answer"' pairs --model "$model" \
    --data "$dialogues" --out out --set pairs.heuristic=verifier
