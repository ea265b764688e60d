# A report in headless Chromium, at two widths, light and dark (tests/page/use_page.py), and one that
# --watch writes anew.  Chromium is large: run/setup --browser installs it, and where it is not this test is skipped.
set -euo pipefail
source tests/program/common.sh
command -v python3 >/dev/null || { echo "no python3: skipped"; exit 77; }
PYTHONPATH=tests/page python3 -c 'import browser, sys; sys.exit(browser.chromium() is None)' ||
    { echo "no Chromium (run/setup --browser installs it): skipped"; exit 77; }
[ -z "$sanitized" ] || { echo "the page is the same without sanitizers: skipped"; exit 77; }

python3 tests/page/make_runs.py "$work" 3 40 20
expect_status 0 "$regard" report "$work/run-1" "$work/run-2" "$work/run-3" --out "$work/page.html"
PYTHONPATH=tests/page python3 tests/page/use_page.py "$work/page.html" || fail "the page"

"$regard" report "$work/run-1" --watch=1 --out "$work/watch.html" 2>"$work/err" &
pid=$!
for i in $(seq 100); do [ ! -s "$work/watch.html" ] || break; sleep 0.1; done
PYTHONPATH=tests/page python3 tests/page/watch_page.py "$work/watch.html" "$work/run-1/metrics.jsonl" ||
    { kill "$pid"; fail "the page of --watch"; }
kill "$pid"
wait "$pid" || fail "status of --watch"
