# model.safetensors: the tensor, its key or the offset.  Many of the cases are those of
# huggingface/safetensors' own tests (headers too large, too small, cut, not UTF-8, overlapping
# tensors, holes, trailing bytes, shapes that overflow) and of llama.cpp's test-gguf (magic,
# versions, counts, types, dimensions, duplicate names, offsets, too little data).
section safetensors

mkdir m
cp "$golden/relu-tied/model/config.json" m
file=m/model.safetensors

bad() { refuses "$1" 1 "m/model.safetensors: $2" import --model m --out out; }
# header NAME PATTERN HEADER BYTES: a file of this header and so many bytes of data.
header() {
    { le64 ${#3} && printf %s "$3" && head -c "$4" /dev/zero; } >$file
    bad "$1" "$2"
}
entry() { # NAME PATTERN ENTRY [BYTES]: one tensor
    header "$1" "$2" "{\"a\":$3}" "${4:-16}"
}

: >$file
bad "empty" '0 bytes are too few'
printf 1234567 >$file
bad "seven bytes" '7 bytes are too few'
le64 0 >$file
bad "a header of no bytes" 'the header is not a JSON object'
le64 60 >$file
bad "a header that is not there" 'the header of 60 bytes goes past the file.s end'
{ le64 -1 && head -c 100 /dev/zero; } >$file
bad "a header of 2^64 - 1 bytes" 'a header of 18446744073709551615 bytes'
{ le64 100000001 && head -c 100 /dev/zero; } >$file
bad "a header too large" 'a header of 100000001 bytes, at most 100000000'
printf 'GGUF\003\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' >$file
bad "a GGUF file" 'a header of [0-9]+ bytes'
printf 'PK\003\004\024\0\0\0archive/data.pkl' >$file
bad "a pickle" 'a header of [0-9]+ bytes|the header of [0-9]+ bytes'
printf '\211HDF\r\n\032\n0123456789' >$file
bad "an HDF5 file" 'a header of [0-9]+ bytes'
header "one brace" 'header: bad JSON: .*byte' '{' 0
header "blanks first" 'the header is not a JSON object' '  {}' 0
header "a list" 'the header is not a JSON object' '[]' 0
header "not UTF-8" 'header: bad JSON: .*byte' $'{"\xff":1}' 0
header "a zero byte inside" 'header: bad JSON: .*byte' '{"a":1' 8
header "text behind the object" 'header: bad JSON: .*byte' '{} x' 0
header "a name twice" 'header: bad JSON: duplicate object key.*byte' '{"a":{},"a":{}}' 0
header "brackets without end" 'header: bad JSON: maximum parsing depth.*byte' \
    "{\"a\":$(head -c 9000 /dev/zero | tr '\0' '[')" 0
header "metadata of numbers" '__metadata__ key step is not a string' '{"__metadata__":{"step":1}}' 0
header "metadata of a list" '__metadata__ is not an object' '{"__metadata__":[]}' 0
header "bytes without a tensor" '16 bytes follow the last tensor' '{}' 16
entry "an entry of a number" 'tensor a: its entry is not an object' 1
entry "no dtype" 'tensor a: dtype is missing' '{"shape":[4],"data_offsets":[0,16]}'
entry "an unknown dtype" 'tensor a: unknown dtype F4' \
    '{"dtype":"F4","shape":[4],"data_offsets":[0,16]}'
entry "no shape" 'tensor a: shape is missing' '{"dtype":"F32","data_offsets":[0,16]}'
entry "a shape of text" 'tensor a: dimension 0 is not a count' \
    '{"dtype":"F32","shape":["4"],"data_offsets":[0,16]}'
entry "a negative dimension" 'tensor a: dimension 0 is not a count' \
    '{"dtype":"F32","shape":[-2,-2],"data_offsets":[0,16]}'
entry "too many dimensions" 'tensor a: [0-9]+ dimensions, at most' \
    "{\"dtype\":\"F32\",\"shape\":[$(printf '1,%.0s' $(seq 98))1],\"data_offsets\":[0,4]}" 4
entry "a dimension beyond 64 bits" 'tensor a: dimension 1 is not a count' \
    '{"dtype":"I32","shape":[2,18446744073709551614],"data_offsets":[0,16]}'
entry "elements beyond 64 bits" 'tensor a: the shape overflows' \
    '{"dtype":"I32","shape":[2,9223372036854775807],"data_offsets":[0,16]}'
entry "bytes beyond 64 bits" 'tensor a: the shape overflows' \
    '{"dtype":"I64","shape":[4611686018427387904],"data_offsets":[0,16]}'
entry "elements that wrap to 0" 'tensor a: the shape overflows' \
    '{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}' 0
entry "no offsets" 'tensor a: data_offsets is not a pair' '{"dtype":"F32","shape":[4]}'
entry "three offsets" 'tensor a: data_offsets is not a pair' \
    '{"dtype":"F32","shape":[4],"data_offsets":[0,16,32]}'
entry "offsets backwards" 'tensor a: data_offsets 16, 0 are not a range' \
    '{"dtype":"F32","shape":[4],"data_offsets":[16,0]}'
entry "a negative offset" 'tensor a: data_offsets -16, 0 are not a range' \
    '{"dtype":"F32","shape":[4],"data_offsets":[-16,0]}'
entry "an end beyond the file" 'tensor a: ends at byte 16 of the data, which has 14' \
    '{"dtype":"F32","shape":[4],"data_offsets":[0,16]}' 14
entry "a shape that takes other bytes" 'tensor a: shape \[4\] of F32 takes 16 bytes, data_offsets give 12' \
    '{"dtype":"F32","shape":[4],"data_offsets":[0,12]}' 12
entry "bytes behind the last tensor" '9 bytes follow the last tensor a' \
    '{"dtype":"F32","shape":[4],"data_offsets":[0,16]}' 25
entry "a hole at the beginning" 'tensor a: a gap of 4 bytes lies before it' \
    '{"dtype":"F32","shape":[3],"data_offsets":[4,16]}'
same='{"dtype":"F32","shape":[4],"data_offsets":[0,16]}'
header "ten tensors in one place" 'tensor [b-j]: overlaps tensor [a-i]' \
    "{\"a\":$same,\"b\":$same,\"c\":$same,\"d\":$same,\"e\":$same,\"f\":$same,\"g\":$same,\"h\":$same,\"i\":$same,\"j\":$same}" 16
header "a hole in the middle" 'tensor b: a gap of 8 bytes' \
    "{\"a\":$same,\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[24,32]}}" 32

# Good files that are not this model.
other() { # NAME PATTERN SED: the good file's header edited at the same length
    sed "1$3" "$golden/relu-tied/model/model.safetensors" >$file
    bad "$1" "$2"
}
first='decoder.block.0.layer.0.SelfAttention.k.weight'
foreign() { refuses "$1" 1 "m: $2" import --model m --out out; }
{ le64 55 && printf '{"a":%s}' "$same" && head -c 16 /dev/zero; } >$file
foreign "no tensor of the model" "missing tensor shared.weight"
sed '1s/SelfAttention.k.weight/SelfAttention.x.weight/' "$golden/relu-tied/model/model.safetensors" >$file
foreign "a tensor renamed" "missing tensor $first"
other "a tensor turned" "tensor .*wi.weight: its shape is \\[24, 40\\], config.json asks for \\[40, 24\\]" \
    's/\[40,24\]/[24,40]/'
other "integers" "tensor $first: dtype I32 is not a floating one" 's/"F32"/"I32"/'
head -c -1 "$golden/relu-tied/model/model.safetensors" >$file
bad "the last byte cut off" 'tensor .*: ends at byte [0-9]+ of the data, which has'
{ cat "$golden/relu-tied/model/model.safetensors" && echo; } >$file
bad "a byte more" '1 bytes follow the last tensor'

# Weights that are not numbers.
number() { # NAME PATTERN FOLDER SIZE BYTES: the last element, of so many bytes
    cp "$golden/$3/model/"* m
    patch $file "-$4" "$5"
    bad "$1" "$2"
}
number "NaN in float32" 'tensor shared.weight: element 1463 is not finite' relu-tied 4 '\0\0\300\177'
number "a signalling NaN" 'tensor shared.weight: element 1463 is not finite' relu-tied 4 \
    '\001\0\200\177'
number "infinity in float32" 'tensor shared.weight: element 1463 is not finite' relu-tied 4 \
    '\0\0\200\177'
number "NaN in bfloat16" 'tensor shared.weight: element 1059 is not finite' bf16 2 '\300\177'
number "minus infinity in bfloat16" 'tensor shared.weight: element 1059 is not finite' bf16 2 \
    '\200\377'
echo "${good%?},\"logp\":[-1,-1],\"advantage\":1}" >update.jsonl
infinite() { # VERB AND OPTIONS...
    refuses "infinity, seen by $1" 1 'm/model.safetensors: tensor shared.weight: element 1059' "$@"
}
infinite score --model m --data "$line" --out out
infinite generate --model m --data "$line" --out out
infinite update --model m --data update.jsonl --out out
infinite export --model m --out out
infinite inspect m
expect_status 0 "$regard" export --model "$checkpoint" --out whole # a model whose tokenizer fits
patch whole/model.safetensors -4 '\0\0\200\177'
refuses "infinity, seen by train" 1 '.*whole/model.safetensors: tensor .*: element [0-9]* is not finite' train \
    --config "$tiny" --set model.path=whole --run run
