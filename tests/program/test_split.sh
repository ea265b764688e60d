# regard split: three files of the lines as they stand, the same again, and what is refused.
set -euo pipefail
source tests/program/common.sh

expect_status 0 "$regard" import-data --data preferences:1:300 --out "$work/all.jsonl"
expect_status 0 "$regard" split --data "$work/all.jsonl" --out "$work/parts"
said=$(cat "$work/out")
[[ $said =~ ^2[0-9]+\ train,\ [0-9]+\ valid,\ [0-9]+\ test$ ]] || fail "it says: $said"
counted=$(for part in train valid test; do echo "$(wc -l <"$work/parts/$part.jsonl") $part"; done | paste -sd,)
expect_same "lines of the files" "${said//, /,}" "$counted"
sort "$work/all.jsonl" >"$work/sorted"
expect_same "all lines" "$(sha256sum <"$work/sorted")" "$(cat "$work"/parts/*.jsonl | sort | sha256sum)"

# lines that are added, and another order, move none; by its name a set is parted as from its file
{ tac "$work/all.jsonl"; "$regard" import-data --data slot:1:100 --out - 2>/dev/null; } >"$work/more.jsonl"
expect_status 0 "$regard" split --data "$work/more.jsonl" --out "$work/more"
expect_status 0 "$regard" split --data preferences:1:300 --out "$work/named"
for part in train valid test; do
    expect_equal_files "$work/parts/$part.jsonl" "$work/named/$part.jsonl"
    [ "$(grep -cFxf "$work/parts/$part.jsonl" "$work/more/$part.jsonl")" = "$(wc -l <"$work/parts/$part.jsonl")" ] ||
        fail "lines left $part when others came"
done

# what would be written over itself, by whatever name, is refused and stays
ln -s parts "$work/link"
expect_status 1 "$regard" split --data "$work/parts/train.jsonl" --out "$work/link"
expect_line "--data is $work/link/train.jsonl, which split would write anew"
expect_equal_files "$work/parts/train.jsonl" "$work/named/train.jsonl"
# a part again: by the same seed nothing falls to the others, by another some does
expect_status 1 "$regard" split --data "$work/parts/train.jsonl" --out "$work/again"
expect_line "falls to valid" "take another seed"
expect_status 0 "$regard" split --data "$work/parts/train.jsonl" --out "$work/again" --set seed=2

# two parts; one that is there from before and would not be written is refused
two=(--set split.train=0.9 --set split.test=0)
expect_status 0 "$regard" split --data slot:1:50 --out "$work/two" "${two[@]}"
[ ! -e "$work/two/test.jsonl" ] || fail "a test set of nothing"
expect_status 1 "$regard" split --data slot:1:50 --out "$work/parts" "${two[@]}"
expect_line "parts/test.jsonl is there, but split.test is 0"
expect_equal_files "$work/parts/train.jsonl" "$work/named/train.jsonl"
