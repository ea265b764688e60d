"""Uses a report in headless Chromium, at two widths, light and dark: use_page.py PAGE [FOLDER for screenshots]."""
import sys
from browser import Browser

page, shots = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None


def same(what, wanted, got):
    assert wanted == got, f"{what}: {repr(got)[:300]}, not {repr(wanted)[:300]}"


def count(b, selector):
    return b.run(f"document.querySelectorAll({selector!r}).length")


def focused(b, what):
    return b.run(f"document.activeElement.{what}")


def lit(b):
    return b.run("[...document.querySelectorAll('[data-position].lit')].map(e => +e.dataset.position)")


def contrast(b, selector):
    """Of an element's ink on the page."""
    return b.run("""(() => {
        const light = (text) => { const c = text.match(/[\\d.]+/g).slice(0, 3).map((x) => x / 255)
            .map((x) => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4); return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]; };
        const ink = light(getComputedStyle(document.querySelector(%r)).color), page = light(getComputedStyle(document.body).backgroundColor);
        return (Math.max(ink, page) + 0.05) / (Math.min(ink, page) + 0.05); })()""" % selector)


def use(b, width, dark):
    b.screen(width, 900, dark)
    b.run("try { sessionStorage.clear() } catch (e) {}")
    b.open(page)
    where = f"at {width} px, {'dark' if dark else 'light'}"
    # Nothing stands out to the side, nothing is asked of a network, no text of a run was run.
    assert b.run("document.documentElement.scrollWidth") <= width, f"the page is too wide {where}"
    same("requests", 1, len(b.requests))
    same("texts that ran", None, b.run("window.broken ?? null"))
    for selector in ("body", "#made", "#held-out .note", "th"):
        assert contrast(b, selector) >= 4.5, f"{selector}: contrast {contrast(b, selector):.2f} {where}"
    same("dark", dark, b.run("document.documentElement.hasAttribute('data-dark')"))
    # A chart a metric, drawn when it comes into sight, by Chart.js.
    names = b.run("Report.names().filter(n => !/_error$|^time_/.test(n)).length")
    stacks = b.run("Report.runs.length")
    same("cards", names + stacks + 3, count(b, ".card"))  # two of speed, one of samples
    b.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    b.run("(async () => { for (let y = 0; y < document.body.scrollHeight; y += 800) { window.scrollTo({top: y, behavior: 'instant'});"
          "await new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r))); } })()")
    same("charts", count(b, ".card"), b.run("Object.keys(Chart.instances).length"))
    same("charts without curves", 0, b.run("Object.values(Chart.instances).filter(c => !c.data.datasets.length).length"))
    # Reward and quality part at a step that is marked.
    same("marks", b.run("Report.runs.length"), b.run(
        "[...document.querySelectorAll('.card')].find(c => c.card.title === 'reward').card.marks().length"))
    # By keyboard along a curve, and to the samples of its step.
    b.run("document.querySelector('#training-curves canvas').focus()")
    b.key("ArrowRight"), b.key("ArrowRight")
    said = b.run("document.querySelector('#training-curves .said').textContent")
    assert said.startswith("step 2: run-1 "), said
    b.key("End"), b.key("Enter")
    same("the step of the samples", focused(b, "textContent"), b.run("String(Report.runs[0].samples.at(-1).step)"))
    b.key("ArrowLeft")
    same("the step before", focused(b, "textContent"), b.run("String(Report.runs[0].samples.at(-2).step)"))
    # Replies by up and down; tokens by left and right, which light the history.
    b.run("document.querySelector('tr.choice[tabindex=\"0\"]').focus()")
    b.key("ArrowDown")
    same("the reply", "1", b.run("document.querySelector('tr[aria-selected=\"true\"]').dataset.candidate"))
    same("lit before a token is chosen", [], lit(b))
    b.run("document.querySelector('button.token').focus()")
    same("lit by the first token", sorted([5, 0, 1, 2]), sorted(lit(b)))
    b.key("ArrowRight")
    same("the token in focus", "1", focused(b, "dataset.token"))
    same("lit by the second", sorted([6, 3, 1, 2]), sorted(lit(b)))
    facts = b.run("document.querySelector('.facts').textContent")
    assert "token 2 of 24" in facts and "0.5 on “ w6”" in facts, facts
    assert b.run("getComputedStyle(document.activeElement).outlineStyle") == "solid", "focus does not show"
    # So does the mouse.
    b.run("document.activeElement.blur()")
    same("lit by none", [], lit(b))
    b.point('button.token[data-token="4"]')
    same("lit by the mouse", sorted([9, 12, 1, 2]), sorted(lit(b)))
    # Every measure colours the tokens, each its own way.
    measures = b.run("[...document.querySelectorAll('#token-view option')].map(o => o.value)")
    for name in ("salient_mass", "attention_entropy", "token_entropy", "logp", "ratio", "credit"):
        assert name in measures, (name, measures)
    colours = b.run("""[...document.querySelectorAll('#token-view option')].map((o) => {
        const s = document.querySelector('#token-view select'); s.value = o.value; s.dispatchEvent(new Event('change'));
        return [...document.querySelectorAll('button.token')].map((t) => getComputedStyle(t).backgroundColor).join(); })""")
    same("ways to colour", len(measures), len(set(colours)))
    # A run that is hidden leaves the curves; a theme that is chosen holds.
    b.run("document.querySelector('#legend button').click()")
    same("curves of the reward", b.run("Report.runs.length - 1"), b.run(
        "[...document.querySelectorAll('.card')].find(c => c.card.title === 'reward').card.chart.data.datasets.length"))
    b.run("(() => { const t = document.querySelector('#theme'); t.value = %r; t.dispatchEvent(new Event('change')); })()" %
          ("light" if dark else "dark"))
    same("the theme that was chosen", not dark, b.run("document.documentElement.hasAttribute('data-dark')"))
    same("ink after the change", True, contrast(b, "body") >= 4.5)
    same("errors", [], b.errors)


with Browser() as browser:
    for width in (1400, 420):
        for dark in (False, True):
            use(browser, width, dark)
            if shots:
                browser.run("sessionStorage.clear()")
                browser.open(page)
                browser.shot(f"{shots}/report-{width}-{'dark' if dark else 'light'}.png")
