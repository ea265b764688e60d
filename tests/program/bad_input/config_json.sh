# config.json of a Hugging Face folder: the file and its key, or line and column.
section config

cp -r "$golden/relu-tied/model" m
cp m/config.json good.json

# config NAME PATTERN SED: config.json edited so.
config() {
    sed -E "$3" good.json >m/config.json
    refuses "$1" 1 "m/config.json$2" import --model m --out out
}
config "cut" ':[0-9]+: bad JSON: .*column' '$d'
config "a comma too many" ':[0-9]+: bad JSON: .*column' 's/"vocab_size": 61/&,/'
config "not UTF-8" ':[0-9]+: bad JSON: .*column' 's/"t5"/"\xff"/'
config "a key twice" ':[0-9]+: bad JSON: duplicate object key' 's/"vocab_size": 61/&, "d_ff": 40/'
config "a list" ': not a JSON object' '1s/.*/[]/;2,$d'
config "empty" ':1: bad JSON' 'd'
config "a text for a size" ': vocab_size is not an integer' 's/61/"61"/'
config "a real for a size" ': d_model is not an integer' 's/"d_model": 24/&.0/'
config "a size of 0" ': d_model is 0, allowed are 1 to' 's/"d_model": 24/"d_model": 0/'
config "a negative size" ': num_heads is -3, allowed are' 's/"num_heads": 3/"num_heads": -3/'
config "a size beyond reason" ': d_ff is 4000000000000, allowed are' 's/"d_ff": 40/&00000000000/'
config "a size beyond 64 bits" ': d_ff is not an integer' \
    's/"d_ff": 40/"d_ff": 99999999999999999999/'
config "no layer" ': num_layers is 0' 's/"num_layers": 2/"num_layers": 0/'
config "no decoder" ': num_decoder_layers is 0' 's/"num_layers": 2/&, "num_decoder_layers": 0/'
config "another family" ': model_type bert is not supported' 's/"t5"/"bert"/'
config "an unknown activation" ': feed_forward_proj gated-silu .* is not supported' \
    's/"d_ff"/"feed_forward_proj": "gated-silu", &/'
config "a number for a flag" ': tie_word_embeddings is not true or false' \
    's/"d_ff"/"tie_word_embeddings": 1, &/'
config "a number for a text" ': model_type is not a string' 's/"t5"/5/'
config "an end beyond the vocabulary" ': eos_token_id is 61, allowed are 0 to 60' \
    's/"eos_token_id": 1/"eos_token_id": 61/'
config "a negative pad" ': pad_token_id is -1, allowed' 's/"pad_token_id": 0/"pad_token_id": -1/'
config "an epsilon of 0" ': layer_norm_epsilon is 0, allowed' 's/"d_ff"/"layer_norm_epsilon": 0, &/'
config "an epsilon of text" ': layer_norm_epsilon is not a number' \
    's/"d_ff"/"layer_norm_epsilon": "small", &/'
config "too few distances" ': relative_attention_max_distance 16 must be above half' \
    's/"d_ff"/"relative_attention_max_distance": 16, &/'
rm m/config.json
refuses "no config.json" 1 'm is no model folder: there is neither a config.json' import --model m --out out
mkdir m/config.json
refuses "config.json is a folder" 1 'm is no model folder: there is neither a config.json' \
    import --model m --out out
rmdir m/config.json

# Against the weights.
weights() {
    sed -E "$3" good.json >m/config.json
    refuses "$1" 1 "m(/model.safetensors)?: $2" import --model m --out out
}
weights "a larger vocabulary than the weights'" \
    'tensor shared.weight: its shape is \[61, 24\], config.json asks for \[62, 24\]' 's/61/62/'
weights "a model that fills no memory" 'tensor .*: its shape is .* config.json asks for' \
    's/61/16777216/;s/"d_model": 24/"d_model": 65536/;s/"d_ff": 40/"d_ff": 1048576/'
weights "a thousand layers" 'missing tensor (en|de)coder.block.[0-9]+.' \
    's/"num_layers": 2/"num_layers": 1024/'
weights "a layer too few" 'unexpected tensor decoder.block.1' \
    's/"num_layers": 2/"num_layers": 1/'
weights "gates" 'missing tensor encoder.block.0.layer.1.DenseReluDense.wi_0.weight' \
    's/"d_ff"/"feed_forward_proj": "gated-gelu", &/'
