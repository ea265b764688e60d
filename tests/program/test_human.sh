# tools/experiments sheet and ratings: what people rate says nothing of whose replies they are, the key does; means,
# errors and Krippendorff's alpha are read back, empty where nobody rated; mistakes are a line each.
set -euo pipefail
source tests/program/common.sh
command -v python3 >/dev/null || { echo "no python3, which tools/experiments wants"; exit 77; }
cd "$work"
tool() { "$OLDPWD/tools/experiments" "$@"; }

# alpha as published: Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C to E (four observers,
# twelve units: 0.815, 0.849); three coders of fifteen units (interval: 0.811)
PYTHONPATH=$OLDPWD/tools/studies python3 - <<'PYTHON' || fail "alpha is not what was published"
from human import figures, krippendorff
def read(text):
    return [{unit: float(v) for unit, v in enumerate(row.split()) if v != "."} for row in text.split("\n")]
four = read("1 2 3 3 2 1 4 1 2 . . .\n1 2 3 3 2 2 4 1 2 5 . 3\n. 3 3 3 2 3 4 2 2 5 1 .\n1 2 3 3 2 4 4 1 2 5 1 .")
three = read(". . . . . 3 4 1 2 1 1 3 3 . 3\n1 . 2 1 3 3 4 3 . . . . . . .\n. . 2 1 3 4 4 . 2 1 1 3 3 . 4")
assert round(krippendorff(four, "ordinal"), 3) == 0.815
assert round(krippendorff(four, "interval"), 3) == 0.849
assert round(krippendorff(three, "interval"), 3) == 0.811
assert krippendorff([{0: 1, 1: 2}, {0: 1, 1: 2}], "ordinal") == 1
# by hand: units (1, 2) and (2, 1): observed 1 + 1 over both orders, expected 2 * 2 * 2 of 4 values: 1 - 3 * 4 / 8
assert krippendorff([{0: 1, 1: 2}, {0: 2, 1: 1}], "interval") == 1 - 3 * 4 / 8
assert krippendorff([{0: 3, 1: 3}, {0: 3, 1: 3}], "ordinal") is None
assert krippendorff([{0: 1}, {1: 2}], "interval") is None
# dialogues with replies whose ratings add to 3 and 9, of 1 and 3 replies; the other arm has the former alone
assert figures({"1": (3, 1), "2": (9, 3)}, {"1": (1, 1)})[::2] == (3, 2)
# the error of a mean over dialogues of one reply each is their deviation over the root of their number
error = figures({str(d): (d % 2, 1) for d in range(100)}, {})[1]
assert abs(error - 0.05) < 0.005, error
PYTHON

record() { # LINE TURN REPLY GOLD
    echo '{"turn":'"$2"',"line":'"$1"',"messages":[{"role":"user","content":"Is it open, \"now\"?"}],"reply":"'"$3"'","gold":"'"$4"'"}'
}
for line in 1 2 3 4 5 6; do
    record $line 1 "=alpha $line" "gold $line" >>one.jsonl
    [ $line = 6 ] || record $line 1 "beta $line" "gold $line" >>two.jsonl
done
expect_status 0 tool sheet --out sheet.csv --key key.csv --gold sft=one.jsonl rl=two.jsonl
expect_same "what it says" "sheet.csv: 15 replies to 5 turns, 3 arms" "$(grep -o '^sheet.csv: [^;]*' "$work/out")"
! grep -qE 'sft|rl|one.jsonl' sheet.csv || fail "the sheet names arms"
grep -q '" =alpha\|, =alpha' sheet.csv || fail "a reply that a spreadsheet takes for a formula"
expect_same "replies of the key" "5 gold 5 rl 5 sft" "$(cut -d, -f2 key.csv | tr -d '\r' | sort | uniq -c | grep -v arm | xargs)"
# the order is the seed's
cp sheet.csv first.csv
rm sheet.csv key.csv
expect_status 0 tool sheet --out sheet.csv --key key.csv --gold sft=one.jsonl rl=two.jsonl
expect_equal_files first.csv sheet.csv
expect_status 0 tool sheet --out other.csv --key other-key.csv --seed 2 --items 3 --gold sft=one.jsonl rl=two.jsonl
expect_same "replies to three turns" 9 "$(grep -c '^[0-9a-f]*-' other.csv)"

# nobody has rated: cells are empty
expect_status 0 tool ratings --key key.csv sheet.csv
grep -qxF '| sft |  |  |  |  |  |' "$work/out" || fail "a mean of no ratings"
grep -q '^No reply has two ratings' "$work/out" || fail "alpha of no ratings"

# two raters: gold 5, sft 2 and 4 (mean 3), rl 1 of two replies
rate() { # OUT SFT RL: by the key
    python3 - "$@" <<'PYTHON'
import csv, sys
out, sft, rl = sys.argv[1:]
arms = {row["id"]: row for row in csv.DictReader(open("key.csv", encoding="utf-8-sig"))}
rows = list(csv.DictReader(open("sheet.csv", encoding="utf-8-sig", newline="")))
for row in rows:
    arm = arms[row["id"]]
    row["rating"] = {"gold": "5", "sft": sft, "rl": rl if int(arm["line"]) < 3 else ""}[arm["arm"]]
with open(out, "w", encoding="utf-8", newline="") as file:
    writer = csv.DictWriter(file, rows[0], delimiter=";" if sft == "4" else ",")
    writer.writeheader()
    writer.writerows(rows)
PYTHON
}
rate ann.csv 2 1
rate bob.csv 4 1
expect_status 0 tool ratings --key key.csv --against sft ann.csv bob.csv
grep -qxF '| gold | 5 | 5.00 | 0.00 | +2.00 | 0.00 |' "$work/out" || fail "gold is not rated 5 and 2 above sft"
grep -qxF '| rl | 2 | 1.00 |  | -2.00 |  |' "$work/out" || fail "rl is not rated 1 of two dialogues, without an error"
grep -qxF '| sft | 5 | 3.00 | 0.00 |  |  |' "$work/out" || fail "sft has not the mean of its raters"
grep -qE "alpha of 2 raters over the 12 replies that two or more rated: ordinal 0\.[0-9]+, interval 0\.[0-9]+\.$" "$work/out" ||
    fail "no alpha"

refused() { # TEXT ARGUMENTS...
    expect_status 1 tool "${@:2}"
    expect_line "$1"
}
refused "sheet.csv is there already" sheet --out sheet.csv --key k sft=one.jsonl
refused "two arms have the name sft" sheet --out s --key k sft=one.jsonl sft=two.jsonl
refused "--items 7: there are 6 turns" sheet --out s --key k --items 7 sft=one.jsonl
refused "--items x: a whole number is wanted" sheet --out s --key k --items x sft=one.jsonl
refused "sheet wants --out SHEET.csv" sheet --out s sft=one.jsonl
refused "no option --outs" sheet --outs s
refused "--out and --key are one file" sheet --out s --key ./s sft=one.jsonl
refused "absent.jsonl: No such file" sheet --out s --key k sft=absent.jsonl
echo '{"reply":"x"}' >bad.jsonl
refused "bad.jsonl:1: no record of regard eval --samples" sheet --out s --key k sft=bad.jsonl
record 1 1 a "another gold" >bad.jsonl
refused "rl: line 1, turn 1 has another gold reply" sheet --out s --key k sft=one.jsonl rl=bad.jsonl
record 9 1 a b >bad.jsonl
refused "no turn of a line is in all arms" sheet --out s --key k sft=one.jsonl rl=bad.jsonl
refused "none/k: No such file" sheet --out s --key none/k sft=one.jsonl
refused "none/s: No such file" sheet --out none/s --key k sft=one.jsonl
# after histories of their own, which the data's replies do not answer
sed 's/Is it open/Was it open/' two.jsonl >own.jsonl
refused "rl: line 1, turn 1 has another history than sft's; take records of eval.history=gold, or say --own" \
    sheet --out s --key k sft=one.jsonl rl=own.jsonl
refused "rl: line 1, turn 1 has another history than sft's; --gold wants replies after the data's histories" \
    sheet --out s --key k --gold --own sft=one.jsonl rl=own.jsonl
[ ! -e s ] && [ ! -e k ] || fail "a refusal left a file"
expect_status 0 tool sheet --out own.csv --key own-key.csv --own sft=one.jsonl rl=own.jsonl
expect_same "replies behind the second arm's history" 5 "$(grep -c 'Was it open' own.csv)"
expect_same "whose they are" 5 "$(grep 'Was it open' own.csv | grep -c beta)"
sed 's/,2,\r$/,9,/' ann.csv >high.csv
refused "the rating '9' is no number from 1 to 5" ratings --key key.csv high.csv
refused "the key has no reply" ratings --key key.csv other.csv
refused "ann.csv: no column arm" ratings --key ann.csv ann.csv
refused "--scale 5: it is LOW,HIGH" ratings --key key.csv --scale 5 ann.csv
refused "--against plum: the arms are gold, rl, sft" ratings --key key.csv --against plum ann.csv
