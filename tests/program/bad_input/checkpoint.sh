# Checkpoints: cut, changed, swapped and foreign files, and hostile ones whose hashes are right.
section checkpoint

manifest=c/manifest.json
renew() { rm -rf c && cp -r "$checkpoint" c; }
# Each takes NAME PATTERN; inspect and score refuse alike, so they take turns.
turn=0
refused() {
    turn=$((turn + 1))
    if [ $((turn % 2)) = 0 ]; then
        refuses "$1" 1 "$2" inspect c
    else
        refuses "$1" 1 "$2" score --model c --data "$line" --out out
    fi
    renew
}
# The manifest's own hash, over all lines but its last.
seal() {
    sed -i '$d' $manifest
    printf '"manifest_sha256": "%s"}\n' "$(sha256sum <$manifest | cut -c1-64)" >>$manifest
}
# rehash FILE: the manifest says what the file is now.
rehash() {
    local sum size
    sum=$(sha256sum <"c/$1" | cut -c1-64)
    size=$(stat -c %s "c/$1")
    sed -i "s/{\"name\": \"$1\",[^}]*}/{\"name\": \"$1\", \"size\": $size, \"sha256\": \"$sum\"}/" $manifest
    seal
}
renew
refuses "no folder" 1 'absent: no such model folder' inspect absent
refuses "a name on a hub" 1 'org/model: no such model folder.*downloads nothing' inspect org/model
mkdir bare
refuses "a folder without a model" 1 'bare is no model folder' inspect bare
refuses "a file for a folder" 1 'c/model.h5: no such model folder' inspect c/model.h5

# Without the hashes put right.
rm $manifest
refused "no manifest" 'c: a checkpoint without its manifest.json'
head -c 100 "$checkpoint/manifest.json" >$manifest
refused "a manifest cut" 'c/manifest.json is cut, changed or not'
: >$manifest
refused "an empty manifest" 'c/manifest.json is cut, changed or not'
sed -i 's/"step": 2/"step": 3/' $manifest
refused "another step" 'c/manifest.json is cut, changed or not'
patch c/model.h5 50000 X
refused "a byte changed" 'c/model.h5 does not have the SHA-256'
head -c 50000 "$checkpoint/model.h5" >c/model.h5
refused "a file cut" 'c/model.h5 has 50000 bytes, its manifest says [0-9]+'
printf x >>c/state.h5
refused "a byte more" 'c/state.h5 has [0-9]+ bytes, its manifest says'
rm c/state.h5
refused "a file missing" 'c/state.h5 is missing'
echo >c/tokenizer.json
refused "a part more" 'c holds tokenizer.json, which its manifest does not list'
cp c/state.h5 c/model.h5
refused "a file for another" 'c/model.h5 has [0-9]+ bytes'
cp "$made/run/checkpoints/step-000001/model.h5" c
refused "another step's file" 'c/model.h5 does not have the SHA-256'
rm c/model.h5 && mkdir c/model.h5
refused "a folder for a file" 'c/model.h5 '
rm -r c && cp -r "$checkpoint" c && rm c/model.h5 && ln -s nowhere c/model.h5
refused "a link to nowhere" 'c/model.h5 is missing'

# With right hashes.
sed -i 's/"format": 1/"format": 9/' $manifest && seal
refused "a format of later" 'c/manifest.json: format 9, this regard reads 1'
sed -i 's/"step": 2,/"step": "two",/' $manifest && seal
refused "a step of text" 'c/manifest.json: "step" must be an integer'
sed -i 's/"files": /"fields": /' $manifest && seal
refused "no list of files" 'c/manifest.json: no list of files'
sed -i 's/"name": "state.h5"/"name": "..\/c\/state.h5"/' $manifest && seal
refused "a file elsewhere" 'c/manifest.json names the file ../c/state.h5'
sed -i '/"name": "model.h5"/d' $manifest && seal
refused "no model" 'c/manifest.json: .*(no model.h5|bad JSON)'
sed -i 's/"format"/"format" "format"/' $manifest && seal
refused "no JSON" 'c/manifest.json:2: bad JSON'
cp "$golden/bf16/model/model.safetensors" c/model.h5 && rehash model.h5
refused "not HDF5" 'c/model.h5: HDF5 could not open'
: >c/model.h5 && rehash model.h5
refused "an empty model" 'c/model.h5: HDF5 could not open'
head -c 50000 "$checkpoint/model.h5" >c/model.h5 && rehash model.h5
refused "HDF5 cut" 'c/model.h5: HDF5 could not open'
cp c/state.h5 c/model.h5 && rehash model.h5
refused "the state for the model" 'c/model.h5: shape.json is missing'
sed -i 's/shared\.weight/shared.weighs/' c/model.h5 && rehash model.h5
refused "a tensor renamed" 'c/model.h5: shared.weight is missing'
# The shape: edited at the same length.
shape() { # NAME PATTERN SED
    sed -i "$3" c/model.h5
    cmp -s c/model.h5 "$checkpoint/model.h5" && echo "FAILED: $kind: $1: nothing edited" && failures=$((failures + 1))
    rehash model.h5
    refused "$1" "$2"
}
shape "no width" 'c/model.h5: the model.s shape: d_model is -1' 's/"d_model":32/"d_model":-1/'
shape "another width" 'c/model.h5: shared.weight has another shape' 's/"d_model":32/"d_model":31/'
shape "a width that the file cannot hold" 'c/model.h5: [0-9]+ bytes, its shape.json asks for [0-9]+ parameters' \
    's/"d_model":32/"d_model":99/'
shape "layers that are not there" 'c/model.h5: [0-9]+ bytes, its shape.json asks' \
    's/"encoder_layers":2/"encoder_layers":9/'
shape "no heads" 'c/model.h5: shape.json: "heads" is missing' 's/"heads"/"hands"/'
shape "an unknown family" 'c/model.h5: shape.json: "family" is u5' 's/"family":"t5"/"family":"u5"/'
shape "a negative pad" 'c/model.h5: the model.s shape: pad is -1' 's/"eps":1e-06,"pad":0/"eps":1e-6,"pad":-1/'
shape "an epsilon below 0" 'c/model.h5: the model.s shape: eps is -1e-06' 's/"eps":1e-06/"eps":-1e-6/'
shape "a shape cut" 'c/model.h5: shape.json: bad JSON: .*byte' 's/{"family"/ "family"/'
# Numbers that are none: the last four of shared.weight, found by their bytes.
rm -r c
expect_status 0 "$regard" import --model "$golden/relu-tied/model" --out c
bytes=$(tail -c 16 "$golden/relu-tied/model/model.safetensors" | od -An -v -tx1 | tr -d '\n' | sed 's/ /\\x/g')
at=$(grep -aboP "$bytes" c/model.h5 | head -1 | cut -d: -f1)
patch c/model.h5 $((at + 12)) '\0\0\300\177' && rehash model.h5
refused "NaN in weights" 'c/model.h5: shared.weight: element 1463 is not finite'

# What a resumed run reads besides.
resumed() { # NAME PATTERN: c in place of the run's last checkpoint; only it
    rm -rf run && mkdir -p run/checkpoints
    cp "$made/run/config.yaml" run
    mv c run/checkpoints/step-000002
    refuses "$1" 1 "$2" train --config run/config.yaml --set train.updates=3 --run run --resume
    renew
}
export REGARD_LOG=error
here=run/checkpoints/step-000002
slice=learner-0000-of-0001.h5
patch c/$slice 60000 '\377\377\377\377\377\377\377\377\377\377\377\377' && rehash $slice
resumed "NaN in the optimizer" "$here/$slice: [a-z.]+: element [0-9]+ is not finite"
mv c/$slice c/learner-0000-of-0002.h5 && sed -i "s/$slice/learner-0000-of-0002.h5/" $manifest && seal
resumed "one slice of two" "$here.*learner-000[01]-of-0002.h5"
cp c/state.h5 c/$slice && rehash $slice
resumed "the state for a slice" "$here/$slice: policy.m is missing"
cp c/$slice c/state.h5 && rehash state.h5
resumed "a slice for the state" "$here/state.h5 is of format 1, this regard reads 2"
sed -i 's/seed: 1/sead: 1/' c/state.h5 && rehash state.h5
resumed "a configuration of another program" "$here/state.h5, saved configuration:1: unknown key sead"
unset REGARD_LOG
