# model.safetensors.index.json and its shards: the file and the tensor.
section index

cp -r "$golden/gated-untied/model" m
chmod -R u+w m
name=model.safetensors.index.json
cp m/$name good.json
shard=model-00001-of-00002.safetensors
first=$(grep -o '"[^"]*": "model-00001' good.json | head -1 | cut -d'"' -f2)

index() { # NAME PATTERN SED
    sed -E "$3" good.json >m/$name
    refuses "$1" 1 "$2" import --model m --out out
}
index "cut" "m/$name:[0-9]+: bad JSON" '$d'
index "a list" "m/$name: .*not a JSON object|m/$name: weight_map is missing" '1s/.*/[]/;2,$d'
index "no map" "m/$name: weight_map is missing" 's/weight_map/weights/'
index "a map of numbers" "m/$name: weight_map: tensor $first: its shard is not a string" \
    "s/(\"$first\": )\"[^\"]*\"/\\11/"
index "a shard that is not there" "m/$name: weight_map: tensor $first: cannot read m/absent" \
    "s/(\"$first\": )\"[^\"]*\"/\\1\"absent\"/"
index "a shard elsewhere" "m/$name: weight_map: tensor $first: \"../m/$shard\" is not a plain file name" \
    "s/(\"$first\": \")/\\1..\/m\//"
index "an absolute shard" "m/$name: weight_map: tensor $first: \"/etc/passwd\" is not a plain" \
    "s/(\"$first\": )\"[^\"]*\"/\\1\"\/etc\/passwd\"/"
index "the folder as a shard" "m/$name: weight_map: tensor $first: \"..\" is not a plain" \
    "s/(\"$first\": )\"[^\"]*\"/\\1\"..\"/"
index "the other shard" "m/$name: weight_map: tensor $first is not in model-00002" \
    "s/(\"$first\": \"model-)00001/\\100002/"
index "a tensor left out" "m/$shard: unexpected tensor $first: it is not in m/$name" "/\"$first\"/d"
index "a tensor of no model" "m/$name: weight_map: tensor x is not in $shard" \
    "s/\"$first\"/\"x\": \"$shard\", &/"
index "a tensor twice" "m/$name:[0-9]+: bad JSON: duplicate object key" \
    "s/\"$first\"/&: \"$shard\", &/"
index "the index as a shard" "m/$name: weight_map: tensor $first: m/$name: " \
    "s/(\"$first\": )\"[^\"]*\"/\\1\"$name\"/"
index "an empty map" "m: missing tensor shared.weight|m.*missing tensor" 's/.*"model-0000.*//;s/"weight_map".*/"weight_map": {/'
cp good.json m/$name
head -c 30000 "$golden/gated-untied/model/$shard" >m/$shard
refuses "a shard cut" 1 "m/$name: weight_map: tensor .*: m/$shard: tensor .* ends at byte" \
    import --model m --out out
cp m/model-00002-of-00002.safetensors m/$shard
refuses "a shard twice" 1 "m/$name: weight_map: tensor .* is not in model-0000" import --model m --out out
rm m/$shard
refuses "a shard missing" 1 "m/$name: weight_map: tensor .*: cannot read m/$shard" \
    import --model m --out out
rm m/$name
refuses "no index" 1 "m: no model.safetensors and no $name" import --model m --out out
