# run/slurm.sbatch puts a job back into the queue where it may go on, and where a person has to look
# first it does not.  Slurm and mpirun are stand-ins here; tools/studies/slurm_hosts has the real ones.
source "$(dirname "$0")/common.sh" "$1"
script=$(realpath run/slurm.sbatch)
mkdir -p "$work/home/run" "$work/bin"
printf '#!/bin/sh\nexit $(cat "%s/status")\n' "$work" >"$work/home/run/mpirun"
printf '#!/bin/sh\necho "$@" >>"%s/queued"\n' "$work" >"$work/bin/scontrol"
chmod +x "$work/home/run/mpirun" "$work/bin/scontrol"
export REGARD_HOME=$work/home SLURM_SUBMIT_DIR=$work SLURM_JOB_ID=77 SLURM_NTASKS=2
PATH=$work/bin:$PATH

# ends STATUS RESTARTS QUEUED
ends() {
    local queued=no
    echo "$1" >"$work/status"
    rm -f "$work/queued"
    SLURM_RESTART_COUNT=$2 expect_status "$1" bash "$script" train
    if [ -e "$work/queued" ]; then queued=$(cat "$work/queued"); fi
    expect_same "after status $1 and $2 restarts" "$3" "$queued"
}
for status in 0 1 2 3 4 5 132; do ends $status 0 no; done
ends 75 0 "requeue 77"
ends 75 30 "requeue 77"
for status in 70 137 138 143; do
    ends $status 9 "requeue 77"
    ends $status 10 no
done
