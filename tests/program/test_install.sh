# An installed regard, away from the tree: what lies where, the CUDA module's place, a run of an installed
# configuration, an example's plugin by the installed header, manual page and completion.
set -euo pipefail
source tests/program/common.sh
build=$(dirname "$regard")
grep -qs '^CMAKE_HOME_DIRECTORY' "$build/CMakeCache.txt" || fail "$build is no build folder"
cmake --install "$build" --prefix "$work/first" >"$work/out" 2>"$work/err" || fail "cmake --install"
mv "$work/first" "$work/prefix" # it may lie anywhere
prefix=$work/prefix
for file in bin/regard include/regard_reward.h share/man/man1/regard.1 \
    share/bash-completion/completions/regard share/zsh/site-functions/_regard share/regard/configs/tiny.yaml \
    share/regard/examples/reward.c share/regard/run/mpirun share/regard/run/slurm.sbatch \
    share/doc/regard/README.md share/doc/regard/CHANGELOG.md share/doc/regard/docs/licences.md; do
    [ -s "$prefix/$file" ] || fail "no $file"
done
for file in configs/*.yaml; do cmp "$file" "$prefix/share/regard/configs/${file#configs/}"; done

home=$PWD
mkdir "$work/elsewhere"
cd "$work/elsewhere"
installed=("$prefix/bin/regard")
share=$prefix/share/regard
expect_status 0 "${installed[@]}" train --config "$share/configs/tiny.yaml" --set train.updates=2 \
    --set checkpoint.every=2 --set eval.every=0 --run run --set threads=1
expect_status 0 "$regard" train --config "$home/configs/tiny.yaml" --set train.updates=2 \
    --set checkpoint.every=2 --set eval.every=0 --run tree --set threads=1
expect_same "parameters" "$(parameters_hash tree/checkpoints/newest)" "$(parameters_hash run/checkpoints/newest)"
expect_status 0 "$share/run/mpirun" -np 2 "${installed[@]}" train --config "$share/configs/tiny.yaml" \
    --run ranks --set roles.learners=1 --dry-run
expect_status 0 cc -shared -fPIC -I "$prefix/include" -o reward.so "$share/examples/reward.c"
expect_status 0 "${installed[@]}" train --config "$share/configs/tiny.yaml" --run plugin --dry-run \
    --set reward.sources=plugin --set "reward.plugin=$PWD/reward.so"

# The module is looked for beside the program, then in lib; an empty file is none, and is named.
rm -f "$prefix"/bin/regard_cuda.so "$prefix"/lib*/regard/regard_cuda.so
expect_status 1 "${installed[@]}" bench exact --set device=cuda
expect_said "there is no" "lib" "regard/regard_cuda.so"
module=$(sed -nE 's/.*there is no [^;]*, nor ([^;]*);.*/\1/p' "$work/err")
mkdir -p "$(dirname "$module")"
: >"$module"
expect_status 1 "${installed[@]}" bench exact --set device=cuda
grep -qE 'no NVIDIA driver here|file too short' "$work/err" || fail "the module in lib was not found"
case $module in "$prefix"/*) ;; *) fail "$module is not under the prefix" ;; esac

# The manual page: all verbs and keys, and nothing that groff complains of.
page=$prefix/share/man/man1/regard.1
while read -r name; do
    grep -qxF ".SS ${name//-/\\-}" "$page" || fail "the manual page has no $name"
done < <("$regard" --help | sed -nE 's/^  ([a-z_-]+) .*/\1/p')
expect_same "keys in the manual page" "$("$regard" --help keys | grep -cE '^  [a-z]')" \
    "$(sed -n '/^\.SH SETTINGS/,/^\.SH "EXIT/p' "$page" | grep -c '^\.TP')"
if command -v groff >/dev/null; then
    expect_same "groff's complaints" "none" "$(groff -man -ww -z "$page" 2>&1 | head -3 | grep . || echo none)"
    groff -man -Tutf8 "$page" | grep -q 'reinforcement loop' || fail "the manual page does not show"
fi

# Completion: a verb, an option, a key, a value.
cat >complete.sh <<'BASH'
source "$1"
ask() {
    COMP_WORDS=("$@")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _regard
    echo "${COMPREPLY[*]}"
}
ask regard tr
ask regard train --dry
ask regard train --set rollout.cand
ask regard train --set device = cp
ask regard --help ppo
BASH
printf '%s\n' train --dry-run rollout.candidates= cpu "ppo $("$regard" --help keys |
    sed -nE 's/^  (ppo\.[a-z_]+) .*/\1/p' | xargs)" >wanted
bash complete.sh "$prefix/share/bash-completion/completions/regard" >got
expect_equal_files wanted got
if command -v zsh >/dev/null; then zsh -n "$prefix/share/zsh/site-functions/_regard"; fi
