# regard doctor: alone, on two ranks, over two hosts (network namespaces, as root); and what is planted
# wrong is found: few cores, OMP_NUM_THREADS, a folder that cannot be written, a disk that is full, roles.
source "$(dirname "$0")/common.sh" "$1"
cleanup() {
    mountpoint -q "$work/small" && umount "$work/small"
    for host in doctora doctorb; do ip netns del $host 2>/dev/null; done
    rm -rf "$work"
}
trap 'cleanup || true' EXIT

# found LEVEL WHAT TEXT: a line of the page.
found() {
    grep -qE "^$1 +$2 .*$3" "$work/out" || fail "no $1 of $2 with $3: $(cat "$work/out")"
}

expect_status 0 "$regard" doctor --run "$work/run"
found ok ranks "1 on 1 host"
found ok folder "$work/run: every rank sees"
found ok files "rename replaces"
grep -qE '^[0-9]+ ok, [0-9]+ warnings, 0 problems$' "$work/out" || fail "no sum: $(cat "$work/out")"
[ -z "$(ls -A "$work" | grep -v -E '^(out|err)$')" ] || fail "left behind: $(ls -A "$work")"

expect_status 0 run/mpirun -np 2 "$regard" doctor --config $tiny --set roles.learners=2 --run "$work/run"
found ok ranks "2 on 1 host, 2 a host"
found ok watchdog "a thread of every rank"
found '(ok|warning)' "within a host" "latency [0-9.]+/.*ranks 0 .* and 1"
found ok "learners' sum" "over 2 learners"
found ok signals "comes to every rank"

expect_status 0 "$regard" doctor --json
python3 -c 'import json, sys
for f in json.load(sys.stdin): assert f["level"] in ("ok", "warning", "problem") and f["what"] and f["value"], f
' <"$work/out" || fail "no JSON"

# What plan reads: of cores, of the timed stub, alone; to standard output, and nowhere.
expect_status 0 run/mpirun -np 2 "$regard" doctor --config $tiny --set roles.learners=2 --run "$work/run" --out "$work/cluster.yaml"
found ok cluster "2 ranks that compute at once have [01].[0-9]+ of .*a sum of learners in a host: "
for line in 'ranks: 2' 'cores: [12]' '  compute: \[1, [01]' '  memory: \[1, [01]' '  sums: \[1, 1' 'inside:' '# between: ' 'files:'; do
    grep -qE "^$line" "$work/cluster.yaml" || fail "no $line: $(cat "$work/cluster.yaml")"
done
expect_status 0 "$regard" plan --config $tiny --set roles.learners=2 --cluster "$work/cluster.yaml"
grep -q '^2 ranks on 1 host;' "$work/out" || fail "not these ranks"
expect_status 0 "$regard" doctor --config $tiny --set device=sleep --set sleep.flops=123e9 --out -
for line in 'cores: 0' '  flops: 1.23e\+11' '  memory: \[1\]' '# inside: ' '# files: '; do
    grep -qE "^$line" "$work/out" || fail "no $line: $(cat "$work/out")"
done
grep -q '^ok .*cluster' "$work/err" || fail "no page on standard error"
if [ ! -e /dev/nvidia0 ]; then # a device that is not here is a finding among the others
    expect_status 5 "$regard" doctor --config $tiny --set device=cuda --out "$work/none.yaml"
    found problem cluster "cuda.*: nothing is written for plan"
    found '(ok|warning)' memory "GiB"
    [ -z "$(ls "$work" | grep '^none')" ] || fail "a cluster file without a device"
fi
expect_status 1 run/mpirun -np 2 "$regard" doctor --out "$work/none/cluster.yaml"
expect_said "cannot write $work/none/cluster.yaml"
rm "$work/cluster.yaml"

# Planted.
if [ "$(nproc)" -gt 1 ]; then
    expect_status 0 taskset -c 0 env OMP_NUM_THREADS=640 "$regard" doctor --set threads=2
    found warning binding "rank 0 .* may use 1 of .* cores and runs 2 threads: give mpirun --bind-to none"
    found warning OMP_NUM_THREADS "640 at rank 0"
    expect_status 0 taskset -c 0 "$regard" train --config $tiny --set threads=2 --set train.updates=1 --run "$work/bound"
    expect_said "warning: binding: 1 of 1 ranks have fewer cores than threads"
fi
echo >"$work/file"
expect_status 5 "$regard" doctor --run "$work/file/run"
found problem folder "$work/file"
expect_status 5 run/mpirun -np 2 "$regard" doctor --set roles.learners=3
found problem roles "roles.learners: 3 must be a power of two"
expect_status 5 "$regard" doctor --config $tiny --set data.train=
found problem settings data.train
expect_status 1 "$regard" doctor --set nothing.there=1
expect_status 2 run/mpirun -np 2 "$regard" doctor --nothing
expect_said "doctor does not know --nothing"

[ "$(id -u)" = 0 ] || {
    echo "not root: no full disk, no hosts"
    exit 0
}
# A job's limits lie in a control group below the top.
for try in /sys/fs/cgroup:cpu.max /sys/fs/cgroup/cpu:cpu.cfs_quota_us; do
    group=${try%:*}/regard-doctor-$$
    mkdir "$group" 2>/dev/null || continue
    if [ -e "$group/${try#*:}" ] && echo 50000 2>/dev/null >"$group/${try#*:}"; then
        expect_status 0 bash -c 'echo $$ >"$1/cgroup.procs"; exec "$2" doctor --set threads=2' - "$group" "$regard"
        found warning cores "1 rank runs 2 threads on 1 core .the control group's quota.: start fewer"
    fi
    for i in $(seq 50); do rmdir "$group" 2>/dev/null && break || sleep 0.1; done
done
mkdir "$work/small"
if mount -t tmpfs -o size=24m tmpfs "$work/small" 2>/dev/null; then
    expect_status 5 "$regard" doctor --run "$work/small/run"
    found problem folder "cannot write 64 MiB to .*No space left"
    found problem space "0.03 GB free at $work/small"
    expect_status 0 "$regard" train --config $tiny --set train.updates=1 --run "$work/small/train"
    expect_said "warning: space: "
fi
command -v ip >/dev/null && ip netns add doctora 2>/dev/null || {
    echo "no network namespaces: no hosts"
    exit 0
}
ip netns add doctorb
ip -n doctora link add eth0 type veth peer name eth0 netns doctorb
number=1
for host in doctora doctorb; do
    ip -n $host link set lo up
    ip -n $host addr add 10.77.9.$number/24 dev eth0
    ip -n $host link set eth0 up
    echo "$host slots=1" >>"$work/hosts"
    number=2
done
printf '#!/bin/sh\nhost=$1\nshift\nexec ip netns exec "$host" unshare --uts sh -c "hostname $host; exec $*"\n' >"$work/agent"
chmod +x "$work/agent"
expect_status 0 "$work/agent" doctora run/mpirun --mca plm_rsh_agent "$work/agent" --mca btl tcp,self \
    --mca pml ob1 --hostfile "$work/hosts" -np 2 "$regard" doctor --run "$work/run" --out "$work/cluster.yaml"
found ok ranks "2 on 2 hosts, 1 a host"
found '(ok|warning)' network "latency .*ranks 0 .doctora. and 1 .doctorb."
found ok clocks "doctorb is at most"
for line in 'hosts: 2' 'ranks: 1' '# inside: ' 'between:' '  bandwidth: [0-9.e+]+' '  latency: [0-9.e-]+'; do
    grep -qE "^$line" "$work/cluster.yaml" || fail "no $line: $(cat "$work/cluster.yaml")"
done
expect_status 0 "$regard" plan --config $tiny --set roles.learners=2 --cluster "$work/cluster.yaml"
grep -q '^2 ranks on 2 hosts' "$work/out" || fail "not these hosts"
