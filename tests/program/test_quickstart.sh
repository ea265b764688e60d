# The quickstart's last words say which way each number moved, from the files that eval writes; its
# table's names are eval's.
set -euo pipefail
source tests/program/common.sh
out=$work
eval "$(sed -n '/^value() /,/^}$/p' run/quickstart)"

expect_status 0 "$regard" eval --config $tiny --model tests/golden/bytes/model --data synthetic:1:2 \
    --set rollout.max_new_tokens=4 --out "$work/before.json"
for name in $(grep -o '\$(moved [a-z_]*)' run/quickstart | tr -d '$()' | cut -d ' ' -f 2); do
    [ -n "$(value before "$name")" ] || fail "eval has no $name: $(cat "$work/before.json")"
done
printf '{"replies": 2,\n "reward": -1.5,\n "bleu": 1e1,\n "focus": -2.25}\n' >"$work/before.json"
printf '{"replies": 2,\n "reward": -1.25,\n "bleu": 9.5,\n "focus": -2.25}\n' >"$work/after.json"
expect_same reward "rose from -1.5 to -1.25" "$(moved reward)"
expect_same bleu "fell from 10 to 9.5" "$(moved bleu)"
expect_same focus "stayed at -2.25" "$(moved focus)"
