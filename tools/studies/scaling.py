"""The report of tools/scaling, by the standard library alone:

    python scaling.py WARM OUT RUN...

A RUN is a run folder with point.json beside its metrics.jsonl; runs whose point is the same are repeats.  Time is that of
the updates behind the first WARM, from one update's end to the next's: the time_* of metrics.jsonl, which are means over the
ranks and add up to the clock.  Written: OUT/scaling.json, scaling.md and scaling.html.
"""

import html
import json
import math
import os
import platform
import statistics
import sys

GOING = {"weak": "weak scaling: the batch grows with the ranks", "strong": "strong scaling: one batch for all"}
COLORS = ["#2f6fb0", "#c8553d", "#3a8f5c", "#8a5fb0", "#b98a1d", "#4a9aa5", "#a5507a", "#777777", "#7fb2e5", "#e8a090",
          "#8fcfa8", "#c9b0e6"]


def measure(folder, warm):
    """One run: per update, seconds, tokens, seconds by kind and bytes by kind."""
    with open(os.path.join(folder, "metrics.jsonl"), encoding="utf-8") as lines:
        updates = [json.loads(line) for line in lines if '"seconds":' in line]
    counted = updates[warm:]
    if not counted:
        sys.exit(f"tools/scaling: {folder} has no update behind the first {warm}")
    kinds, moved = {}, {}
    tokens = 0.0
    for update in counted:
        tokens += update["tokens_per_second"] * update["seconds"]
        for name, value in update.items():
            if name.startswith("time_") and not name.endswith("_max") and name not in ("time_slowest", "time_by_rank"):
                kinds[name[5:]] = kinds.get(name[5:], 0.0) + value
            elif name.startswith("bytes_"):
                moved[name[6:]] = moved.get(name[6:], 0.0) + value
    n = len(counted)
    seconds = sum(kinds.values()) / n
    return {"seconds": seconds, "tokens_s": tokens / n / seconds,
            "time": {k: v / n for k, v in kinds.items()}, "bytes": {k: v / n for k, v in moved.items()},
            "stub": "timed_stub_seconds" in counted[0]}


def spread(values):
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def point_of(key, runs):
    """Repeats of one point as one row."""
    point = dict(key)
    kinds = sorted({k for run in runs for k in run["time"]})
    whole = sum(sum(run["time"].values()) for run in runs)
    point["repeats"] = len(runs)
    point["seconds"] = spread([run["seconds"] for run in runs])
    point["dialogues_s"] = spread([point["dialogues"] / run["seconds"] for run in runs])
    point["tokens_s"] = spread([run["tokens_s"] for run in runs])
    point["shares"] = {k: sum(run["time"].get(k, 0.0) for run in runs) / whole for k in kinds}
    point["bytes"] = {k: statistics.median([run["bytes"].get(k, 0.0) for run in runs])
                      for k in sorted({k for run in runs for k in run["bytes"]})}
    return point


def series_of(points):
    """(scaling, over, lag) -> its points by n, with their efficiency: a rank's throughput over that of the fewest."""
    series = {}
    for point in points:
        series.setdefault((point["scaling"], point["over"], point["lag"]), []).append(point)
    for one in series.values():
        one.sort(key=lambda p: p["n"])
        first = one[0]["dialogues_s"]["median"] / one[0]["n"]
        for p in one:
            p["efficiency"] = {k: v / p["n"] / first for k, v in p["dialogues_s"].items()}
    return series


def number(value, digits=3):
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "-"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{places}f}"


def with_spread(s, of=1.0, unit=""):
    return f"{number(s['median'] * of)}{unit} ({number(s['least'] * of)} to {number(s['most'] * of)})"


def shares_text(shares):
    told = sorted(shares.items(), key=lambda kv: -kv[1])
    return ", ".join(f"{k} {100 * v:.1f}%" for k, v in told if v >= 0.005)


def bytes_text(moved):
    return ", ".join(f"{k} {number(v / 1e6)}" for k, v in moved.items() if v) or "none"


def title(key):
    return f"{key[0]}, {key[1]}, lag {key[2]}"


def table(series):
    heads = ["n", "ranks", "learners", "dialogues", "s/update", "dialogues/s", "tokens/s", "efficiency", "where the time went",
             "MB/update"]
    rows = [[str(p["n"]), str(p["ranks"]), str(p["learners"]), str(p["dialogues"]), number(p["seconds"]["median"]),
             with_spread(p["dialogues_s"]), number(p["tokens_s"]["median"]), with_spread(p["efficiency"], 100, "%"),
             shares_text(p["shares"]), bytes_text(p["bytes"])] for p in series]
    return heads, rows


def lags(series):
    """Every lag over lag 0, point by point."""
    rows = []
    for (scaling, over, lag), one in sorted(series.items()):
        zero = {p["n"]: p for p in series.get((scaling, over, 0), [])}
        rows += [[scaling, over, str(p["n"]), str(lag),
                  number(p["dialogues_s"]["median"] / zero[p["n"]]["dialogues_s"]["median"])]
                 for p in one if lag > 0 and p["n"] in zero]
    return ["scaling", "over", "n", "lag", "times lag 0"], rows


def notes(report):
    lines = [f"{report['host']}, {report['processors']} processors, {report['program']}; {report['updates']}."]
    lines.append("Medians (lowest to highest) of the repeats. Efficiency: throughput for each of n, over that of the "
                 "smallest n. Times are shares of all ranks' time.")
    if report["stub"]:
        lines.insert(0, "**device: sleep**: the kernels are timed stubs that compute nothing; what is measured is the "
                        "schedule, by the times of a modelled device.")
    return lines


def markdown(report, series):
    out = ["# Scaling", ""] + [line + "\n" for line in notes(report)]
    for key, one in sorted(series.items()):
        heads, rows = table(one)
        out += [f"## {title(key)}", "", "| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _ in heads) + " |"]
        out += ["| " + " | ".join(row) + " |" for row in rows] + [""]
    heads, rows = lags(series)
    if rows:
        out += ["## Lag", "", "| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _ in heads) + " |"]
        out += ["| " + " | ".join(row) + " |" for row in rows] + [""]
    return "\n".join(out)


WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 620, 300, 64, 40, 12


def chart(lines, label, logarithmic, ideal):
    """lines: [(name, [(n, least, median, most)])]; ideal: draw each one's straight continuation."""
    ns = sorted({p[0] for _, ps in lines for p in ps})
    values = [v for _, ps in lines for p in ps for v in p[1:]]
    if ideal:
        values += [ps[0][2] * p[0] / ps[0][0] for _, ps in lines for p in ps]
    low = min(values) * 0.9 if logarithmic else 0.0
    high = max(values) * 1.1
    scale = (lambda v: math.log(v / low) / math.log(high / low)) if logarithmic else (lambda v: (v - low) / (high - low))
    at = {n: LEFT + (WIDTH - LEFT - 20) * (math.log2(n / ns[0]) / (math.log2(ns[-1] / ns[0]) or 1)) for n in ns}
    up = lambda v: HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * scale(v)
    out = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(label)}">']
    for i in range(5):
        v = low * (high / low) ** (i / 4) if logarithmic else low + (high - low) * i / 4
        out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - 20}" y1="{up(v):.1f}" y2="{up(v):.1f}"/>'
                   f'<text x="{LEFT - 6}" y="{up(v) + 4:.1f}" text-anchor="end">{number(v)}</text>')
    for n in ns:
        out.append(f'<text x="{at[n]:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{n}</text>')
    out.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 4}" text-anchor="middle">n</text>')
    for i, (name, ps) in enumerate(lines):
        color = COLORS[i % len(COLORS)]
        if ideal:
            far = ps[-1][0] / ps[0][0] * ps[0][2]
            out.append(f'<line stroke="{color}" stroke-dasharray="3 4" x1="{at[ps[0][0]]:.1f}" y1="{up(ps[0][2]):.1f}" '
                       f'x2="{at[ps[-1][0]]:.1f}" y2="{up(far):.1f}"/>')
        path = " ".join(f"{at[p[0]]:.1f},{up(p[2]):.1f}" for p in ps)
        out.append(f'<polyline fill="none" stroke-width="2" stroke="{color}" points="{path}"/>')
        for n, least, median, most in ps:
            out.append(f'<line stroke="{color}" x1="{at[n]:.1f}" x2="{at[n]:.1f}" y1="{up(least):.1f}" y2="{up(most):.1f}"/>'
                       f'<circle cx="{at[n]:.1f}" cy="{up(median):.1f}" r="4" fill="{color}"><title>{html.escape(name)}, n {n}: '
                       f'{number(median)} ({number(least)} to {number(most)})</title></circle>')
    return "\n".join(out + ["</svg>"])


def legend(names):
    return "<p>" + " ".join(f'<span class="key" style="--c:{COLORS[i % len(COLORS)]}">{html.escape(name)}</span>'
                            for i, name in enumerate(names)) + "</p>"


def bars(one, kinds):
    """Shares of the time, a bar a point."""
    step, width = 26, WIDTH - LEFT - 20
    out = [f'<svg viewBox="0 0 {WIDTH} {step * len(one) + 6}" role="img" aria-label="shares of the time">']
    for row, p in enumerate(one):
        x, y = float(LEFT), row * step
        out.append(f'<text x="{LEFT - 6}" y="{y + 17}" text-anchor="end">n {p["n"]}</text>')
        for i, kind in enumerate(kinds):
            share = p["shares"].get(kind, 0.0)
            out.append(f'<rect x="{x:.1f}" y="{y + 3}" width="{width * share:.1f}" height="{step - 6}" '
                       f'fill="{COLORS[i % len(COLORS)]}">'
                       f'<title>n {p["n"]}: {kind} {100 * share:.1f}%</title></rect>')
            x += width * share
    return "\n".join(out + ["</svg>"])


def page_table(heads, rows):
    cells = lambda row, tag: "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in row) + "</tr>"
    return "<div class=wide><table>" + cells(heads, "th") + "".join(cells(row, "td") for row in rows) + "</table></div>"


STYLE = """
:root { color-scheme: light dark; --text: #222; --back: #fff; --line: #ddd }
@media (prefers-color-scheme: dark) { :root { --text: #ddd; --back: #181a1b; --line: #444 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 75rem; margin: 1rem auto;
  padding: 0 1rem }
svg { width: 100%; max-width: 46rem; display: block } svg text { font-size: 12px; fill: var(--text) }
.grid { stroke: var(--line) }
.key::before { content: ""; display: inline-block; width: .8em; height: .8em; margin: 0 .4em 0 1em; background: var(--c) }
.wide { overflow-x: auto } table { border-collapse: collapse } td, th { border: 1px solid var(--line); padding: .2rem .5rem;
  text-align: left; font-size: 13px }
"""


def page(report, series):
    kinds = sorted({k for one in series.values() for p in one for k in p["shares"]})
    out = ["<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
           f"<title>regard: scaling</title><style>{STYLE}</style><h1>Scaling</h1>"]
    out += [f"<p>{html.escape(line.replace('**', ''))}</p>" for line in notes(report)]
    for scaling in sorted({key[0] for key in series}):
        of = {key: one for key, one in sorted(series.items()) if key[0] == scaling}
        lines = lambda what: [(title(key), [(p["n"], *(p[what][k] for k in ("least", "median", "most"))) for p in one])
                              for key, one in of.items()]
        out.append(f"<h2>{html.escape(GOING[scaling])}</h2>" + legend([title(key) for key in of]))
        out.append("<h3>Dialogues a second</h3><p>Dashed: as much for each of n as at the smallest.</p>" +
                   chart(lines("dialogues_s"), "dialogues a second by n", True, True))
        out.append("<h3>Efficiency</h3>" + chart(lines("efficiency"), "efficiency by n", False, False))
        out.append("<h3>Where the time went</h3>" + legend(kinds))
        for key, one in of.items():
            out.append(f"<h4>{html.escape(title(key))}</h4>" + bars(one, kinds) + page_table(*table(one)))
    heads, rows = lags(series)
    if rows:
        out.append("<h2>Lag</h2>" + page_table(heads, rows))
    return "\n".join(out) + "</html>\n"


def main():
    warm, out, folders = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    runs = {}
    for folder in folders:
        with open(os.path.join(folder, "point.json"), encoding="utf-8") as file:
            key = tuple(json.load(file).items())
        runs.setdefault(key, []).append(measure(folder, warm))
    with open(os.path.join(out, "settings"), encoding="utf-8") as file:
        settings = file.read().splitlines()
    points = [point_of(key, of) for key, of in runs.items()]
    series = series_of(points)
    report = {"host": platform.node(), "processors": os.cpu_count(), "program": settings[0], "launch": settings[1],
              "updates": settings[2], "stub": any(run["stub"] for of in runs.values() for run in of), "points": points}
    for name, text in (("scaling.json", json.dumps(report, indent=1) + "\n"), ("scaling.md", markdown(report, series)),
                       ("scaling.html", page(report, series))):
        with open(os.path.join(out, name + ".tmp"), "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(os.path.join(out, name + ".tmp"), os.path.join(out, name))


if __name__ == "__main__":
    main()
