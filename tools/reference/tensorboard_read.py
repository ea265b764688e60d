"""Reads a folder's event files with TensorBoard's own reader; prints "step tag value" lines."""

import sys

from tensorboard.backend.event_processing import event_accumulator


def main(folder):
    events = event_accumulator.EventAccumulator(folder, size_guidance={"scalars": 0})
    events.Reload()
    for tag in events.Tags()["scalars"]:
        for scalar in events.Scalars(tag):
            print(scalar.step, tag, repr(scalar.value))


if __name__ == "__main__":
    main(sys.argv[1])
