# report: one page of one or more runs, whatever state they are in and whatever their texts hold.
set -euo pipefail
source tests/program/common.sh
export PYTHONPATH=tests/page
command -v python3 >/dev/null || { echo "no python3: skipped"; exit 77; }

# A real run.
expect_status 0 "$regard" train --config $tiny --set threads=1 --set rollout.max_new_tokens=8 --set train.updates=2 \
    --set eval.every=1 --set eval.dialogues=2 --run "$work/real"
expect_status 0 "$regard" report "$work/real"
expect_line "report of 1 run" "$work/real/report.html"
python3 - "$work/real" <<'END' || fail "a real run's page"
import json, sys
from parts import parts
page = parts(sys.argv[1] + "/report.html")
run, samples, notes = page["run"][0], page["samples"][0], page["notes"][0]
lines = [json.loads(line) for line in open(sys.argv[1] + "/metrics.jsonl")]
assert run["kind"] == "train" and run["name"] == "real" and notes == [], (run["kind"], run["name"], notes)
assert run["steps"] == [0, 1, 2], run["steps"]
reward = [line["reward"] for line in lines if "reward" in line]
assert run["columns"]["reward"][0] is None
assert all(abs(a - b) < 1e-5 * abs(b) for a, b in zip(run["columns"]["reward"][1:], reward))
assert run["settings"]["train.updates"] == "2" and page["page"][0]["defaults"]["train.updates"] == "200"
assert [s["step"] for s in samples] == [1, 2]
record = json.loads(open(sys.argv[1] + "/samples/step-000002.jsonl").readline())
reply = samples[1]["replies"][0]
assert reply["text"] == record["reply"] and reply["pieces"] == record["pieces"] and reply["top"] == record["top_position"]
for name in ["logp", "token_entropy", "attention_entropy", "salient_mass"]:
    assert all(abs(a - b) <= 1e-3 * abs(b) for a, b in zip(reply["tokens"][name], record[name])), name
history = samples[1]["histories"][reply["history"]]
assert history["messages"] == record["messages"]
assert history["salient"] == "".join(map(str, record["salient"]))
END

# Three runs with hostile texts; the last has lost its settings and is being written.
python3 tests/page/make_runs.py "$work" 3 40 20
rm "$work/run-3/config.yaml"
sed -i 's/^{"step": 7,/what/' "$work/run-3/metrics.jsonl"
truncate -s -9 "$work/run-3/metrics.jsonl"
sed -i '2s/history_tokens/other/' "$work/run-3/samples/step-000040.jsonl"
expect_status 0 "$regard" report "$work/run-1" "$work/run-2/" "$work/run-3" --out "$work/three.html"
python3 - "$work" <<'END' || fail "three runs' page"
import sys
from make_runs import HOSTILE
from parts import parts
page = parts(sys.argv[1] + "/three.html")
runs = page["run"]
assert [run["name"] for run in runs] == ["run-1", "run-2", "run-3"]
assert runs[0]["settings"]["text.system"] == HOSTILE and HOSTILE in runs[0]["about"] and HOSTILE in runs[0]["columns"]
assert page["samples"][0][0]["replies"][0]["pieces"][0] == HOSTILE
assert page["samples"][0][0]["histories"][0]["pieces"][0] == HOSTILE
# Histories are told apart once, whoever answers.
assert len(page["samples"][0][0]["histories"]) == 6 and len(page["samples"][0][0]["replies"]) == 48
# Reward rises and BLEU falls by 4, of errors 0.5: they part at the last evaluation.
assert runs[0]["parting"]["eval_bleu"] == 40 and runs[0]["audit"] is None, runs[0]["parting"]
assert page["notes"][:2] == [[], []]
said = " | ".join(page["notes"][2])
for text in ["no config.yaml", "metrics.jsonl:8", "step-000040.jsonl:2"]:
    assert text in said, said
assert runs[2]["settings"] == {} and 7 not in runs[2]["steps"] and len(page["samples"][2][1]["replies"]) == 47
END

# Nonsense in every file is noted, and what can be made of it is there.
mkdir -p "$work/junk/samples"
head -c 3000 "$regard" >"$work/junk/metrics.jsonl"
head -c 3000 "$regard" >"$work/junk/config.yaml"
head -c 3000 "$regard" >"$work/junk/samples/step-000001.jsonl"
cat >"$work/junk/samples/step-000002.jsonl" <<'END'
{"history_tokens":[1],"reply_tokens":[1],"messages":3,"salient":{},"top_position":[1,[2,"x"]],"pieces":[1],"history_pieces":[2],"logp":[null]}
{"history_tokens":[],"reply_tokens":[],"messages":[1,{"role":1}]}
END
expect_status 0 "$regard" report "$work/junk"
python3 - "$work/junk/report.html" <<'END' || fail "a page of nonsense"
import sys
from parts import parts
page = parts(sys.argv[1])
assert any("config.yaml" in note for note in page["notes"][0]) and any("step-000001.jsonl:1" in note for note in page["notes"][0])
assert [len(step["replies"]) for step in page["samples"][0]] == [2], page["samples"]
END

# A run that has just begun has settings alone.
mkdir "$work/begun"
cp "$work/run-1/config.yaml" "$work/begun"
expect_status 0 "$regard" report "$work/begun"
python3 -c 'import sys; from parts import parts; p = parts(sys.argv[1]); assert "no metrics.jsonl" in p["notes"][0][0], p["notes"]' \
    "$work/begun/report.html" || fail "a run that has just begun"

# What is no run, and what cannot be written.
mkdir "$work/nothing"
expect_status 1 "$regard" report "$work/run-1" "$work/nothing"
expect_line "$work/nothing is no run"
expect_status 1 "$regard" report "$work/absent"
expect_line "$work/absent" "no such folder"
expect_status 1 "$regard" report "$work/run-1" --out "$work/absent/page.html"
expect_line "$work/absent/page.html"
expect_status 2 "$regard" report
expect_line "needs RUN"
expect_status 2 "$regard" report "$work/run-1" --watch=often
expect_line "--watch=often"
[ ! -e "$work/run-1/report.html" ] || fail "a page was left by what failed"

# --watch: a new line of metrics is in the page soon; a signal ends it with a last page.
written() { grep -o '"watch":[0-9.]*' "$work/watch.html"; }
steps() { python3 -c 'import sys; from parts import parts; print(parts(sys.argv[1])["run"][0]["steps"][-1])' "$work/watch.html"; }
"$regard" report "$work/run-2" --watch=0.2 --out "$work/watch.html" 2>"$work/err" &
pid=$!
for i in $(seq 100); do [ ! -s "$work/watch.html" ] || break; sleep 0.1; done
[ "$(written)" = '"watch":0.2' ] || fail "no page that loads itself again"
printf '{"step":41,"reward":1}\n{"step":42,"rew' >>"$work/run-2/metrics.jsonl"
for i in $(seq 100); do [ "$(steps)" != 41 ] || break; sleep 0.1; done
expect_same "steps of the page" 41 "$(steps)"
kill "$pid"
got=0
wait "$pid" || got=$?
expect_same "the status of --watch that was ended" 0 "$got"
expect_same "the last page" '"watch":0' "$(written)"
[ "$(grep -c 'report of 1 run' "$work/err")" = 2 ] || fail "more than the first and the last page are told: $(cat "$work/err")"

# --watch waits for a run that has not begun, and for one whose folder is away for a moment.
rm "$work/watch.html"
"$regard" report "$work/later" --watch=0.2 --out "$work/watch.html" 2>"$work/err" &
pid=$!
for i in $(seq 100); do ! grep -q "there is no such folder; waiting for it" "$work/err" || break; sleep 0.1; done
cp -r "$work/run-2" "$work/later"
for i in $(seq 100); do [ ! -s "$work/watch.html" ] || break; sleep 0.1; done
expect_same "steps of the page of a run that began later" 41 "$(steps)"
mv "$work/later" "$work/away"
for i in $(seq 100); do [ "$(grep -c "waiting for it" "$work/err")" != 2 ] || break; sleep 0.1; done
python3 - "$work/away/metrics.jsonl" <<'END'
import sys
whole = open(sys.argv[1]).read().rpartition("\n")[0]
open(sys.argv[1], "w").write(whole + '\n{"step":43,"reward":1}\n')
END
mv "$work/away" "$work/later"
for i in $(seq 100); do [ "$(steps)" != 43 ] || break; sleep 0.1; done
expect_same "steps of the page of a run that was away" 43 "$(steps)"
kill "$pid"
got=0
wait "$pid" || got=$?
expect_same "the status of --watch of a run that was away" 0 "$got"
