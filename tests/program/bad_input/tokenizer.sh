# spiece.model and tokenizer_config.json, and what does not fit the model.
section tokenizer

cp -r "$words" t
chmod -R u+w t
echo "hello there" >text
taste() { refuses "$1" 1 "$2" tokenizer encode --model t --data text --out out; }

spiece() { # NAME: the file in place is refused
    taste "$1" 't/spiece.model: not a SentencePiece model'
    cp "$words/spiece.model" t
}
: >t/spiece.model
spiece "empty"
head -c 4000 "$words/spiece.model" >t/spiece.model
spiece "cut"
head -c -1 "$words/spiece.model" >t/spiece.model
spiece "the last byte cut off"
printf 'this is text, not a model, and goes on for a while\n' >t/spiece.model
spiece "a text"
patch t/spiece.model 0 '\377\377\377\377'
spiece "a length that overflows"
cp "$golden/bf16/model/model.safetensors" t/spiece.model
spiece "a model's weights"
patch t/spiece.model 0 '\377\377\377\377'
refuses "the file by its name" 1 't/spiece.model: not a SentencePiece model' tokenizer encode \
    --spm t/spiece.model --data text --out out
cp "$words/spiece.model" t
rm t/spiece.model
taste "no model" 't holds no tokenizer'
mkdir t/spiece.model
taste "a folder for a model" 't holds no tokenizer'
rmdir t/spiece.model
cp "$words/spiece.model" t

settings() { # NAME PATTERN TEXT: of tokenizer_config.json
    printf "$3" >t/tokenizer_config.json
    taste "$1" "t/tokenizer_config.json:$2"
}
settings "settings cut" '1: bad JSON: .*column' '{"extra_ids":1'
settings "settings a list" ' not a JSON object' '[]'
settings "settings not UTF-8" '2: bad JSON: .*column' '{\n"a":"\377"}'
settings "extra ids of text" ' extra_ids must be a whole number' '{"extra_ids":"many"}'
settings "negative extra ids" ' extra_ids must be a whole number' '{"extra_ids":-1}'
settings "endless extra ids" ' extra_ids must be a whole number' '{"extra_ids":1e300}'
settings "half an extra id" ' extra_ids must be a whole number' '{"extra_ids":1.5}'
settings "a class of numbers" ' tokenizer_class is not a string' '{"tokenizer_class":5}'
settings "an unknown class" ' tokenizer_class BertTokenizer is not supported' '{"tokenizer_class":"BertTokenizer"}'
cp "$words/tokenizer_config.json" t

# Beside a model.
mkdir bare
refuses "a folder without a tokenizer" 1 'tokenizer.path: bare holds no tokenizer' score \
    --model "$golden/bf16/model" --data "$line" --out out --set tokenizer.path=bare
refuses "no folder" 1 'tokenizer.path: absent is no folder' score --model "$golden/bf16/model" --data "$line" --out out \
    --set tokenizer.path=absent
head -1 "$dialogues" >d.jsonl
refuses "more ids than the model, score" 1 'the tokenizer has 384 ids, the model.s vocabulary 53' score \
    --model "$golden/bf16/model" --data d.jsonl --out out --set tokenizer.path=bytes
refuses "more ids than the model, eval" 1 'the tokenizer has 384 ids, the model.s vocabulary 53' eval \
    --model "$golden/bf16/model" --data d.jsonl --out out --set tokenizer.path=bytes
refuses "more ids than the model, train" 1 '.*the tokenizer has 384 ids, the model.s vocabulary 53' train \
    --config "$tiny" --set model.path="$golden/bf16/model" --run run
refuses "more ids than the model, sft" 1 '.*the tokenizer has 384 ids, the model.s vocabulary 53' sft \
    --config "$tiny" --set model.path="$golden/bf16/model" --run run
refuses "more ids than the new model" 1 '.*model.vocabulary is 100 but the tokenizer has 384 ids' train \
    --config "$tiny" --set model.vocabulary=100 --run run
refuses "dialogues without a tokenizer" 1 'd.jsonl:1: dialogues need a tokenizer' score \
    --model "$golden/bf16/model" --data d.jsonl --out out
refuses "no tokenizer for train" 1 '.*holds no tokenizer; set tokenizer.path' train --config "$tiny" \
    --set model.path="$golden/bf16/model" --set tokenizer.path= --run run
refuses "no keywords" 1 'salience.keywords: cannot read absent' score --model "$checkpoint" --data "$line" \
    --out out --set salience.keywords=absent
# Training one.
echo '{"messages":[{"role":"user","content":"abcdefghijklmnopqrstuvwxyz"},{"role":"assistant","content":"0123456789"}]}' \
    >letters.jsonl
refuses "a vocabulary smaller than the letters" 1 \
    'SentencePiece cannot train a vocabulary of 32: .*smaller than required_chars' tokenizer train \
    --data letters.jsonl --out out --set tokenizer.vocabulary=32
refuses "a marker with a comma" 1 'marker "a,b" may not' tokenizer train --data "$dialogues" --out out \
    --set 'text.user_marker="a,b"'
refuses "no folder to put it in" 1 '--out absent/out: the folder absent does not exist' tokenizer train \
    --data "$dialogues" --out absent/out
