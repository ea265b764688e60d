# Rewards of one's own: the examples in C, built outside the tree against the installed header, and in
# Python train a tiny model alike, on one rank and on three, across a kill; wrong ones are one line.
set -euo pipefail
source tests/program/common.sh
# Long enough to rise; what is killed and goes on runs a quarter as long, from a save at half of that.
# Requests of an update are 8 a rank at most: the one that kills comes after the save.
updates=16 quarter=4 save=2 fatal=20
if [ "$sanitized" ]; then updates=4; fi
command -v python3 >/dev/null || { echo "no python3, which the example wants"; exit 77; }

expect_status 0 cmake --install "$(dirname "$regard")" --prefix "$work/installed"
expect_status 0 "$work/installed/bin/regard" --version
mkdir "$work/own"
cp tools/examples/reward.c "$work/own"
# build SOURCE NAME FLAGS...
build() {
    local source=$1 name=$2
    shift 2
    expect_status 0 "${CC:-cc}" -shared -fPIC -Wall -Wextra -Werror "$@" -I "$work/installed/include" \
        -o "$work/own/$name.so" "$work/own/$source"
}
build reward.c reward
expect_status 0 "${CC:-cc}" -x c++ -fsyntax-only -include "$work/installed/include/regard_reward.h" /dev/null

train=(train --config $tiny --set train.updates=$updates --set eval.every=0 --set checkpoint.every=$quarter
    --set checkpoint.keep=4)
plugin=(--set reward.sources=plugin:1 --set reward.plugin="$work/own/reward.so")
expect_status 0 "$regard" "${train[@]}" "${plugin[@]}" --run "$work/c"
wanted=$(parameters_hash "$work/c/checkpoints/step-00000$quarter")
sed -n 's/.*"plugin":\([^,]*\),.*/\1/p' "$work/c/metrics.jsonl" >"$work/rewards"
[ "$sanitized" ] ||
    awk 'NR <= 5 { first += $1 } NR > 11 { last += $1 } END { exit !(NR == 16 && last > 1.3 * first) }' "$work/rewards" ||
    fail "the reward does not rise: $(tr '\n' ' ' <"$work/rewards")"

# The program kills the rank that it answers at a request after the save: it goes with it, and so do the
# other ranks' programs.  The run that goes on from the checkpoint ends as the other did.
cat >"$work/killer.py" <<END
import os, runpy, sys

def rank():
    pid = os.getpid()
    while open(f"/proc/{pid}/comm").read() != "regard\n":
        pid = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
    return pid

def requests(lines):
    for count, line in enumerate(lines, 1):
        if count == $fatal and not os.path.exists("$work/killed"):
            open("$work/killed", "w").close()
            os.kill(rank(), 9)
        yield line

sys.stdin = requests(sys.stdin)
runpy.run_path("tools/examples/reward.py")
END
killer=("$regard" "${train[@]}" --set train.updates=$quarter --set checkpoint.every=$save
    --set checkpoint.background=false
    --set reward.sources=command:1 --set reward.command="python3 $work/killer.py")
expect_status 137 run/mpirun -np 3 "${killer[@]}" --run "$work/python"
[ -e "$work/killed" ] || fail "no rank was killed"
ls "$work"/python/checkpoints/step-00000$save >/dev/null
for _ in $(seq 100); do
    left=$(pgrep -f "$work/killer.py" || true)
    [ -n "$left" ] || break
    sleep 0.1
done
[ -z "$left" ] || fail "the programs $left outlived the run"
expect_status 0 run/mpirun -np 3 "${killer[@]}" --run "$work/python" --resume
expect_same "parameters" "$wanted" "$(parameters_hash "$(newest "$work/python")")"

# A program may call regard, though its environment is a rank's.
mkdir "$work/parts"
expect_status 0 run/mpirun -np 2 "$regard" "${train[@]}" --set train.updates=1 --set reward.sources=command:1 \
    --set reward.command="$regard split --data synthetic:1:20 --out \$(mktemp -d -p $work/parts) >&2 && exec python3 tools/examples/reward.py" \
    --run "$work/calls"
[ -n "$(ls "$work"/parts/*/train.jsonl)" ] || fail "split made nothing"

# What a program of every rank says that is no answer ends the run before it has learned.
expect_status 1 run/mpirun -np 2 "$regard" "${train[@]}" --set reward.sources=command:1 \
    --set reward.command="sed -u 's/.*/hello/'" --run "$work/hello"
expect_said "reward.command (sed -u 's/.*/hello/') answered hello" "bad JSON" '{"id":ID,"reward":NUMBER}'
[ ! -s "$work/hello/metrics.jsonl" ] || fail "$(cat "$work/hello/metrics.jsonl")"

# Plugins that are none, and what they may say.
cat >"$work/own/wrong.c" <<'END'
#include <regard_reward.h>
#ifdef VERSION
const int32_t regard_reward_version = VERSION;
#endif
int regard_reward(const struct regard_reply *replies, int64_t count, struct regard_answer *answers,
                  char error[REGARD_ERROR_SIZE])
{
    (void)replies, (void)count, (void)answers, (void)error;
#include "body.h"
}
END
echo '{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes."}]}' >"$work/data.jsonl"
model=$(newest "$work/c")
score=("$regard" score --model "$model" --data "$work/data.jsonl" --out "$work/scored.jsonl" --set reward.sources=plugin)
# wrong TEXT BODY FLAGS...: the plugin with this body is refused with this text.
wrong() {
    local text=$1 body=$2
    shift 2
    echo "$body" >"$work/own/body.h"
    build wrong.c wrong "$@"
    expect_status 1 "${score[@]}" --set reward.plugin="$work/own/wrong.so"
    expect_line "reward.plugin $work/own/wrong.so" "$text"
    [ ! -e "$work/scored.jsonl" ] || fail "scored all the same"
}
now="-DVERSION=REGARD_REWARD_VERSION"
wrong "version 9 of regard_reward.h, this program has 1" "return 0;" -DVERSION=9
wrong "defines no regard_reward_version" "return 0;"
wrong "dialogue 1, turn 1, candidate 0: the reward is nan" "return 0;" $now
wrong "gave up with 3 at 1 replies from dialogue 1, turn 1 on: no luck" \
    "__builtin_strcpy(error, \"no\\nluck\"); return 3;" $now
wrong "dialogue 1, turn 1, candidate 0: 9 spans of a reply of 5 tokens" \
    "answers[0].span_count = 9; return 0;" $now
wrong "dialogue 1, turn 1, candidate 0: span 0 is [1, 9) of a reply of 5 tokens" \
    "answers[0].spans[0] = (struct regard_span){1, 9, 0}; answers[0].span_count = 1; return 0;" $now
expect_status 1 "${score[@]}" --set reward.plugin=reward.so
expect_line "reward.plugin: no file reward.so"

# What a plugin is handed: texts, tokens and the line.
cat >"$work/own/body.h" <<'END'
answers[0].reward = replies->turn + replies->message_count * 10 +
    replies->token_count * 100 + 1000 * !__builtin_strcmp(replies->token_texts[2], "s") +
    10000 * !__builtin_strcmp(replies->messages->role, "user") + 100000 * replies->ended +
    1000000 * (replies->line[0] == 123) + 10000000 * !__builtin_strcmp(replies->text, "Yes.") +
    100000000 * (replies->logp[0] < 0 && replies->token_entropy[0] > 0 && replies->self_certainty[0] > 0);
return 0;
END
build wrong.c wrong $now
expect_status 0 "${score[@]}" --set reward.plugin="$work/own/wrong.so"
grep -q '"plugin":111111511.0,' "$work/scored.jsonl" || fail "$(cat "$work/scored.jsonl")"

# Rewards of parts: the same sums, other advantages, alike in C and in Python.
short=(train --config $tiny --set train.updates=1 --set eval.every=0)
cat >"$work/own/body.h" <<'END'
for (int64_t i = 0; i < count; i++) {
    const int64_t n = replies[i].token_count;
    answers[i].reward = 0.5 * replies[i].turn;
    if (PARTS < 2 || n < 2) continue;
    answers[i].spans[0] = (struct regard_span){0, n / 2, replies[i].candidate + 0.5 * replies[i].turn};
    answers[i].spans[1] = (struct regard_span){n / 2, n, -replies[i].candidate};
    answers[i].span_count = 2;
}
return 0;
END
for count in 1 2; do
    build wrong.c wrong $now -DPARTS=$count
    expect_status 0 "$regard" "${short[@]}" "${plugin[@]}" --set reward.plugin="$work/own/wrong.so" --run "$work/parts$count"
done
cat >"$work/parts.py" <<'END'
import json, sys
for line in sys.stdin:
    r = json.loads(line)
    n, whole = len(r["pieces"]), 0.5 * r["turn"]
    cut = [{"begin": 0, "end": n // 2, "value": r["candidate"] + whole},
           {"begin": n // 2, "end": n, "value": -r["candidate"]}]
    answer = {"rewards": cut} if n > 1 else {"reward": whole}
    print(json.dumps({"id": r["id"], **answer}), flush=True)
END
expect_status 0 run/mpirun -np 3 "$regard" "${short[@]}" --set reward.sources=command \
    --set reward.command="python3 $work/parts.py" --run "$work/parts3"
first_reward() { sed -n '1s/^{"step":1,"reward":\([^,]*\),.*/\1/p' "$work/$1/metrics.jsonl"; }
expect_same "the rewards of replies" "$(first_reward parts1)" "$(first_reward parts2)"
cut=$(parameters_hash "$(newest "$work/parts2")")
expect_same "parameters" "$cut" "$(parameters_hash "$(newest "$work/parts3")")"
[ "$cut" != "$(parameters_hash "$(newest "$work/parts1")")" ] || fail "parts are learned from as the whole is"

# Of four replies to each history the one that the plugin likes best.
printf '{"messages":[{"role":"user","content":"%s"}]}\n' Hi "Is it open?" >"$work/asked.jsonl"
ask=("$regard" generate --model "$model" --data "$work/asked.jsonl" "${plugin[@]}")
expect_status 0 "${ask[@]}" --set rollout.candidates=4 --out "$work/four.jsonl"
expect_status 0 "${ask[@]}" --best 4 --out "$work/best.jsonl"
awk '{ match($0, /"plugin":[^,]*/); reward = substr($0, RSTART + 9, RLENGTH - 9) + 0
       if (NR % 4 == 1 || reward > most) { most = reward; line = $0 }
       if (NR % 4 == 0) print line }' "$work/four.jsonl" >"$work/wanted.jsonl"
[ "$(wc -l <"$work/wanted.jsonl")" = 2 ] || fail "$(cat "$work/four.jsonl")"
expect_equal_files "$work/wanted.jsonl" "$work/best.jsonl"
expect_status 1 "${ask[@]}" --best 4 --out "$work/best.jsonl" --set rollout.temperature=0
expect_line "--best needs rollout.temperature above 0"
expect_status 2 "${ask[@]}" --best 1 --out "$work/best.jsonl"
expect_line "--best is a number from 2"

# A run goes on with the plugin that it began with, wherever that lies, or with another when asked.
mv "$work/own/reward.so" "$work/own/moved.so"
resume=("$regard" "${train[@]}" --set train.updates=$((updates + 1)) --set reward.sources=plugin:1 --run "$work/c" --resume)
expect_status 1 "${resume[@]}" --set reward.plugin="$work/own/wrong.so"
expect_said "the contents of reward.plugin are not what this run began with" "--change reward.plugin=FILE"
expect_status 0 "${resume[@]}" --set reward.plugin="$work/own/moved.so"
