# A disk that is full or breaks ends in a line that says so, and loses no checkpoint: a cut of the faults
# (the whole: run/test --long).
set -euo pipefail
tests/faults/disks "$1" --cut 2
