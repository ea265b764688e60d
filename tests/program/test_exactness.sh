# A run ends in the same bytes whatever its ranks, learners, threads, instructions and the order
# of arrival: a cut of the matrix (the whole: run/test --long).
set -euo pipefail
tests/faults/matrix "$1" --cut
