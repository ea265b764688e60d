# Bad files, settings, folders and command lines: each is refused with its status and one line on
# stderr that names the culprit and its place (line, key or offset); nothing on stdout, no
# sanitizer's report, and no file is made, changed or left half-written.  The cases stand in
# bad_input/*.sh, a file a kind.
set -euo pipefail

# A name space of mounts of our own, for the full and the read-only disk; it ends with the test.
if [ -z "${REGARD_TEST_MOUNTS:-}" ]; then
    export REGARD_TEST_MOUNTS=yes
    for flags in -m -rm; do
        if unshare $flags true 2>/dev/null; then exec unshare $flags bash "$0" "$@"; fi
    done
    export REGARD_TEST_MOUNTS=no
fi
export LC_ALL=C
source tests/program/common.sh
root=$PWD
tiny=$root/$tiny

cases=0 failures=0 skipped=0 kind=""

# What lies in the present folder: names, sizes, times, inodes.
state() { find . -mindepth 1 \( -type d -printf '%p/\n' -o -printf '%p %s %T@ %i\n' \) | sort; }

show() { # what was seen
    echo "FAILED: $kind: $1"
    cut -c1-300 "$work/err" | sed "s/^/    stderr: /" | head -6
    failures=$((failures + 1))
}

judge() { # NAME WANTED GOT PATTERN: the status and the one line
    local lines line
    lines=$(grep -c '' "$work/err") || true
    line=$(tail -1 "$work/err" | tr -d '\0')
    if [ "$3" != "$2" ]; then
        show "$1: status $3, not $2"
    elif [ "$lines" != 1 ]; then
        show "$1: $lines lines on stderr, not 1"
    elif ! [[ $line =~ ^"regard: "$4 ]]; then
        show "$1: the line does not match: $4"
    else
        return 0
    fi
    return 1
}

# unchanged NAME BEFORE: files are what they were; new ones go, so that one mistake stays one.
unchanged() {
    local changes
    [ "$2" != "$(state)" ] || return 0
    changes=$({ diff <(echo "$2") <(state) || true; } | grep "^[<>]") || return 0
    show "$1: files changed: $changes"
    sed -n "s/^> \\([^ ]*\\).*/\\1/p" <<<"$changes" | xargs rm -rf
}

# refuses NAME STATUS PATTERN ARGUMENTS...: an extended regular expression, matched behind
# "regard: ".  Runs in the present folder, which must be afterwards what it was.
refuses() {
    local name=$1 status=$2 pattern=$3 got before
    shift 3
    cases=$((cases + 1))
    before=$(state)
    got=0
    "$regard" "$@" >"$work/stdout" 2>"$work/err" </dev/null || got=$?
    judge "$name" "$status" "$got" "$pattern" || true
    unchanged "$name" "$before"
    [ ! -s "$work/stdout" ] || show "$name: on stdout: $(head -c 200 "$work/stdout")"
}

# tell: how many cases the kind had that ends here.
told=0
tell() {
    [ $cases = $told ] || echo "$kind: $((cases - told)) cases"
    told=$cases
}

# section KIND: an empty folder to work in.
section() {
    tell
    kind=$1
    mkdir "$work/$1"
    cd "$work/$1"
}

skip() { # WHY: seen in the test's output
    echo "SKIPPED: $kind: $1"
    skipped=$((skipped + 1))
}

# ---- what the cases are made of ----

# A run of two updates, its last checkpoint, a model folder of that shape, a good line.
section made
expect_status 0 "$regard" train --config "$tiny" --set train.updates=2 --set checkpoint.every=1 \
    --set eval.every=1 --set eval.dialogues=1 --set threads=1 --run run
made=$work/made
checkpoint=$made/run/checkpoints/step-000002
golden=$root/tests/golden
words=$root/tests/text/fixtures/small
good='{"history_tokens":[5,6,1],"reply_tokens":[7,1]}'
echo "$good" >line.jsonl
line=$made/line.jsonl
for i in 1 2 3 4; do
    echo '{"messages":[{"role":"user","content":"Is it open?"},{"role":"assistant","content":"Yes."}]}'
done >dialogues.jsonl
dialogues=$made/dialogues.jsonl

# le64 NUMBER: eight bytes, little endian.
le64() {
    local i
    for i in 0 1 2 3 4 5 6 7; do printf "\\x$(printf %02x $(($1 >> 8 * i & 255)))"; done
}

# patch FILE OFFSET BYTES: in printf's escapes; a negative offset counts from the end.
patch() {
    local at=$2
    if [ "$at" -lt 0 ]; then at=$(($(stat -c %s "$1") + at)); fi
    printf "$3" | dd of="$1" bs=1 seek="$at" conv=notrunc status=none
}

for file in "$root"/tests/program/bad_input/*.sh; do source "$file"; done

tell
echo "$cases cases, $failures failures, $skipped skipped"
[ "$failures" = 0 ]
