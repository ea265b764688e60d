# Killed runs go on and end as one that was not: a cut of the kills (the whole: run/test --long).
set -euo pipefail
tests/faults/kills "$1" --cut
