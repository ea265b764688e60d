"""A page that --watch writes anew, open in Chromium: watch_page.py PAGE METRICS.  It loads itself again, keeps what was
chosen and where it was scrolled to, and waits while somebody is at its samples."""
import sys, time
from browser import Browser

page, metrics = sys.argv[1:]


def wait(b, script, seconds=30):
    until = time.time() + seconds
    while True:
        try:
            if b.run(script):
                return
        except RuntimeError:  # it is being loaded
            pass
        assert time.time() < until, f"never: {script}"
        time.sleep(0.1)


with Browser() as b:
    b.screen(1400, 900)
    b.open(page)
    wait(b, "document.querySelector('#follow').checked && !document.querySelector('#follow-label').hidden")
    with open(metrics, "a") as file:
        file.write('{"step":1000,"reward":5}\n')
    wait(b, "Report.ready && Report.runs[0].steps.at(-1) === 1000")
    # Chosen and scrolled while the page may be on its way out: then it is done again.
    for attempt in range(5):
        wait(b, "(() => { const t = document.querySelector('#theme'); t.value = 'dark'; t.dispatchEvent(new Event('change'));"
                "window.scrollTo({top: 700, behavior: 'instant'}); window.mark = true; return true; })()")
        wait(b, "Report.ready && window.mark === undefined")
        if b.run("document.documentElement.hasAttribute('data-dark') && scrollY === 700"):
            break
    else:
        raise AssertionError(f"scrolled to {b.run('scrollY')} after a reload, not 700")
    # A token in focus is not taken away.
    wait(b, "(() => { const t = document.querySelector('button.token'); t.focus(); return document.activeElement === t; })()")
    b.key("ArrowRight")
    b.run("window.same = true")
    time.sleep(2.5)
    assert b.run("window.same && document.activeElement.dataset.token === '1'"), "the page went away under the keyboard"
    assert not b.errors, b.errors
