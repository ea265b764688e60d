# No damaged, swapped or foreign checkpoint is gone on from: the one before it is taken and said, and
# when none is left the run stops.  REGARD_LONG=1: a thousand flipped bits in place of a hundred.
set -euo pipefail
source tests/program/common.sh
flips=100
if [ "$sanitized" ]; then flips=30; fi
if [ "${REGARD_LONG:-}" ]; then flips=1000; fi
RANDOM=${FAULT_SEED:-1}

settings=(--config $tiny --set threads=1 --set train.updates=4 --set checkpoint.every=2
    --set eval.every=0)
train=("$regard" train "${settings[@]}")
pristine=$work/pristine/checkpoints
run=$work/run
newest=$run/checkpoints/step-000004
before=$run/checkpoints/step-000002
expect_status 0 ranks 3 "${train[@]}" --set roles.learners=2 --run "$work/pristine"
expect_status 0 "${train[@]}" --set seed=2 --set roles.learners=1 --run "$work/foreign"
foreign=$work/foreign/checkpoints/step-000004
whole=$(parameters_hash "$pristine/step-000004")
mapfile -t files < <(ls "$pristine/step-000004")
[ ${#files[@]} -ge 7 ] || fail "few files: ${files[*]}"

fresh() {
    rm -rf "$run"
    cp -r "$work/pristine" "$run"
}

number=0
# refused NAME TEXT: of the run as it is now, the newest is passed over with a line that has the
# text, the one before it is taken.  Every fifth goes on to the end, and the newest is set aside; the
# others are dry runs, which rename nothing.
refused() {
    number=$((number + 1))
    local dry=(--dry-run) said="a run would set it aside as" there=$newest
    if [ $((number % 5)) = 0 ]; then dry=() said="set aside as" there=$newest.bad; fi
    expect_status 0 "${train[@]}" --run "$run" --resume "${dry[@]}"
    grep -F "$said $newest.bad" "$work/err" | grep -qF -- "$2" || fail "$1: not said: $2"
    expect_said "going on from $before"
    [ -d "$there" ] || fail "$1: no $there"
    if [ ${#dry[@]} = 0 ]; then
        expect_same "$1" "$whole" "$(parameters_hash "$newest")"
    fi
    fresh
}

fresh
for file in "${files[@]}"; do
    path=$newest/$file
    size=$(stat -c %s "$path")
    for left in 0 $((size / 2)) $((size - 1)); do
        truncate -s "$left" "$path"
        refused "$file of $size bytes cut to $left" "$file"
    done
    printf x >>"$path"
    refused "$file with a byte more" "$file"
    # As a disk leaves what it was never asked to keep: the size is right, the end is zeros.
    truncate -s $((size / 2)) "$path"
    truncate -s "$size" "$path"
    refused "$file with zeros for its second half" "$file"
    rm "$path"
    refused "no $file" "$file"
    mkdir -p "$path.folder" && rm "$path" && mv "$path.folder" "$path"
    refused "a folder for $file" "$file"
    if ! cmp -s "$foreign/$file" "$path" && [ -e "$foreign/$file" ]; then
        cp "$foreign/$file" "$path"
        refused "$file of another run" "$newest/"
    fi
    if ! cmp -s "$before/$file" "$path"; then
        cp "$before/$file" "$path"
        refused "$file of the step before" "$newest"
    fi
done

mv "$newest/learner-0000-of-0002.h5" "$work/slice"
mv "$newest/learner-0001-of-0002.h5" "$newest/learner-0000-of-0002.h5"
mv "$work/slice" "$newest/learner-0001-of-0002.h5"
refused "learners' slices swapped" learner-000
cp "$foreign/learner-0000-of-0001.h5" "$newest"
refused "a slice of another run beside them" learner-0000-of-0001.h5
rm -r "$newest" && cp -r "$before" "$newest"
refused "the step before under this name" "manifest is of step 2"
rm -r "$newest" && mkdir "$newest"
refused "an empty folder" "no manifest.json"
sed -i "s/\"step\": 4/\"step\": 5/" "$newest/manifest.json"
refused "a manifest with another step" manifest.json
printf '{}\n' >"$newest/manifest.json"
refused "a manifest of nothing" manifest.json

# Half-written folders are not even looked at.
cp -r "$newest" "$run/checkpoints/step-000006.tmp"
cp -r "$newest" "$run/checkpoints/step-000007.old.tmp"
expect_status 0 "${train[@]}" --run "$run" --resume --dry-run
expect_said "going on from $newest"
fresh

# Another run's checkpoint, whole as it is: its settings are not these.
rm -r "$newest" && cp -r "$foreign" "$newest"
expect_status 1 "${train[@]}" --run "$run" --resume
expect_said "key seed differs"
fresh

# None is left: never back to the beginning.
for folder in "$newest" "$before"; do truncate -s 100 "$folder/model.h5"; done
for how in --resume --resume=auto --resume=auto; do
    expect_status 1 "${train[@]}" --run "$run" "$how"
    expect_said "none of which verifies" "not starting over"
done
[ ! -d "$newest" ] && [ ! -d "$before" ] || fail "damaged checkpoints are still in their places"
fresh

# flip FILE BIT
flip() {
    local byte
    byte=$(od -An -tu1 -j$(($2 / 8)) -N1 "$1")
    printf "\\x$(printf %x $((byte ^ (1 << ($2 % 8)))))" |
        dd of="$1" bs=1 seek=$(($2 / 8)) conv=notrunc status=none
}
for ((i = 0; i < flips; i++)); do
    file=${files[i % ${#files[@]}]}
    bits=$((8 * $(stat -c %s "$newest/$file")))
    bit=$(((RANDOM * 32768 + RANDOM) % bits))
    flip "$newest/$file" $bit
    if [ $((i % 20)) = 0 ]; then
        refused "bit $bit of $file" "$file" # and the folder is fresh again
    else
        expect_status 1 "$regard" inspect "$newest"
        expect_said "$file"
        flip "$newest/$file" $bit
    fi
done
expect_status 0 "$regard" inspect "$newest" # every flip was taken back: each was seen alone
echo "$number damaged checkpoints set aside, $flips flipped bits found"
