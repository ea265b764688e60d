# Disks that are full, read-only or limited: the file by its name, and nothing left of it.
section disk

echo "${good%?},\"logp\":[-1,-1],\"advantage\":1}" >update.jsonl
update=$PWD/update.jsonl
# What `tokenizer encode` takes as text: a JSON object would be a line of another kind.
yes "plain words" | head -20000 >words.txt || true
plain_text=$PWD/words.txt
# Outputs of every verb, to the folder $1; a table: NAME, the file that fails, the command.
outputs() {
    local to=$1 reason=$2
    refuses "$3: score" 1 "cannot write $to/out: $reason" score --model "$checkpoint" --data "$4" --out $to/out
    refuses "$3: generate" 1 "cannot write $to/out: $reason" generate --model "$checkpoint" --data "$4" \
        --out $to/out --set rollout.max_new_tokens=4
    refuses "$3: eval" 1 "cannot write $to/out: $reason" eval --model "$checkpoint" --data "$dialogues" \
        --out $to/out --set rollout.max_new_tokens=4
    refuses "$3: import" 1 ".*$to/out.*($reason|HDF5 could not)" import --model "$checkpoint" --out $to/out
    refuses "$3: export" 1 ".*$to/out.*$reason" export --model "$checkpoint" --out $to/out
    refuses "$3: tokenizer train" 1 ".*$to/out.*$reason" tokenizer train --data "$dialogues" --out $to/out \
        --set tokenizer.vocabulary=32
    refuses "$3: tokenizer encode" 1 "cannot write $to/out: $reason" tokenizer encode --model "$checkpoint" \
        --data "$plain_text" --out $to/out
}

# /dev/full takes no byte.
for verb in "score --data $line" "generate --data $line" "eval --data $dialogues" \
    "tokenizer encode --data $plain_text"; do
    refuses "/dev/full: ${verb%% --*}" 1 'cannot write /dev/full: No space left' $verb --model "$checkpoint" \
        --out /dev/full --set rollout.max_new_tokens=4
done
# Standard output that takes no byte.
full() { # NAME ARGUMENTS...
    local got=0
    cases=$((cases + 1))
    "$regard" "${@:2}" >/dev/full 2>"$work/err" </dev/null || got=$?
    judge "stdout full: $1" 1 "$got" 'cannot write standard output: No space left' || true
}
echo '{}' >table.json
full help --help
full version --version
full "help of a verb" train --help
full inspect inspect "$checkpoint"
full "dry run" train --config "$tiny" --dry-run --run run

# Files that may not be longer than 4 KiB.
for i in $(seq 200); do echo "$good"; done >many.jsonl
limited() { # NAME PATTERN ARGUMENTS...
    local got=0 before
    cases=$((cases + 1))
    before=$(state)
    (ulimit -f 4 && exec "$regard" "${@:3}" >"$work/stdout" 2>"$work/err" </dev/null) || got=$?
    judge "$1" 1 "$got" "$2" || true
    unchanged "$1" "$before"
}
limited "a limit: score" 'cannot write out: File too large' score --model "$checkpoint" --data many.jsonl --out out
limited "a limit: export" '.*out.*(File too large)' export --model "$checkpoint" --out out
limited "a limit: import" '.*out.*' import --model "$checkpoint" --out out

if [ "$REGARD_TEST_MOUNTS" = yes ]; then
    mkdir full fixed
    mount -t tmpfs -o size=64k tmpfs full
    cat /dev/zero >full/ballast 2>/dev/null || true
    outputs full 'No space left' "full disk" many.jsonl
    umount full
    mount -t tmpfs -o size=200k tmpfs full
    echo old >full/old
    refuses "full disk: an output that was there" 1 'cannot write full/old: No space left' generate \
        --model "$checkpoint" --data many.jsonl --out full/old --set rollout.max_new_tokens=16
    umount full
    mount -t tmpfs -o size=500k tmpfs full
    # The checkpoint (about 1.3 MB) does not fit: what the run said before stays, the checkpoint goes.
    got=0
    cases=$((cases + 1))
    REGARD_LOG=error "$regard" train --config "$tiny" --set train.updates=1 --set eval.every=0 --run full/run \
        >"$work/stdout" 2>"$work/err" || got=$?
    judge "full disk: a checkpoint" 1 "$got" '.*full/run/checkpoints/step-000001.*' || true
    left=$(cd full/run && find . -type f | grep -v events | sort | paste -sd' ')
    [ "$left" = "./about.txt ./checkpoints/attempt-000001 ./config.yaml ./metrics.jsonl" ] ||
        show "full disk: a checkpoint: left: $left"
    umount full
    mount -t tmpfs -o ro tmpfs fixed
    outputs fixed 'Read-only file system' "read-only" "$line"
    umount fixed
else
    skip "full and read-only disks: this user may not mount (unshare -m, -rm)"
fi
