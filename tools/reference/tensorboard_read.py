"""Reads a folder's event files with TensorBoard's own reader; prints "step tag value" lines, or holds
them against a metrics.jsonl.

    $(tools/reference/reader) tools/reference/tensorboard_read.py RUN [RUN/metrics.jsonl]

Every number of the metrics must be there as the nearest float32, and nothing else but what a clock
said of a step that a killed run had done before."""
import json
import sys

import numpy
from tensorboard.backend.event_processing import event_accumulator


def clock(tag):
    return tag in ("seconds", "tokens_per_second") or tag.startswith(("time_", "bytes_"))


def scalars(folder):
    events = event_accumulator.EventAccumulator(folder, size_guidance={"scalars": 0})
    events.Reload()
    return {(scalar.step, tag, scalar.value)
            for tag in events.Tags()["scalars"] for scalar in events.Scalars(tag)}


def metrics(path):
    out = set()
    with open(path) as lines:
        for line in lines:
            line = json.loads(line)
            step = line.pop("step")
            out |= {(step, tag, float(numpy.float32(value))) for tag, value in line.items()
                    if isinstance(value, (int, float))}
    return out


def main(folder, against=None):
    found = scalars(folder)
    if not against:
        for scalar in sorted(found):
            print(*scalar)
        return
    wanted = metrics(against)
    done = {step for step, _, _ in wanted}
    found = {one for one in found if one in wanted or not clock(one[1]) or one[0] not in done}
    for scalar in sorted(wanted - found):
        print("not in the events:", *scalar)
    for scalar in sorted(found - wanted):
        print("only in the events:", *scalar)
    print(f"{len(found & wanted)} numbers of {len({step for step, _, _ in found})} steps are the same")
    if found != wanted or not found:
        raise SystemExit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
