"""What must hold before a null result of tools/studies/dialogue_real is believed.

    python dialogue_checks.py --regard PROGRAM --config FILE --out OUT --model SFT

1. In every run's log: the ratio of the first epoch is exactly 1, the reward is what its terms say,
   and the policy moved (KL to the SFT model a token above 0.01).
2. One `regard update` with advantages from 96 replies moves log-probabilities with the advantage;
   with advantages of the other sign against it; with advantages shuffled, neither.
3. A rigged reward, how often a reply says "the", is learned within 50 updates of
   `regard generate`, group advantages made here, `regard update`.
4. In the run whose reward is minus the length, replies get shorter.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys

import numpy


def read(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def write(path, rows):
    with open(path, "w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row) + "\n")


def log_check(out):
    print("run | updates | largest first-epoch ratio deviation | largest error of the scaled reward "
          "| of the raw reward | KL, last 20 updates | clip fraction | explained variance, last 20")
    fine = True
    for name in sorted(os.listdir(os.path.join(out, "arms"))):
        path = os.path.join(out, "arms", name, "metrics.jsonl")
        if not os.path.exists(path):
            continue
        rows = [row for row in read(path) if "reward" in row]
        alone = name.startswith(("coverage", "best"))
        beta, gamma = (0, 0) if alone else (0.5, 1)
        scaled_error = raw_error = 0.0
        for row in rows:
            if name.startswith("length"):
                scaled, raw = -row["reply_length"] / 64, -row["reply_length"] / 64
            else:
                scaled = (row["coverage_scaled"] + beta * row["focus_scaled"]
                          - gamma * row["rep_hist_scaled"])
                raw = row["coverage"] + beta * row["focus"] - gamma * row["rep_hist"]
            scaled_error = max(scaled_error, abs(scaled - row["reward_scaled"]))
            raw_error = max(raw_error, abs(raw - row["reward"]))
        ratio = max(row["ratio_deviation_first"] for row in rows)
        last = rows[-20:]
        # kl.coef 0 has no reference in the run; the table's "KL to SFT" tells that one.
        kl = numpy.mean([row["kl_behaviour"] for row in last])
        clip = numpy.mean([row["clip_fraction"] for row in last])
        explained = numpy.mean([row.get("explained_variance", numpy.nan) for row in last])
        print(f"{name} | {len(rows)} | {ratio:g} | {scaled_error:.1e} | {raw_error:.1e} | {kl:.4f} | "
              f"{clip:.3f} | {explained:.2f}")
        fine = fine and ratio == 0 and scaled_error < 1e-6 and raw_error < 1e-6
        fine = fine and (kl > 0.01 or name.startswith("kl0"))
    print("logs:", "as they should be" if fine else "NOT as they should be")


def group_advantages(rewards, groups):
    """rloo among the candidates of a group, over its root mean square (docs/reward.md)."""
    rewards, groups = numpy.asarray(rewards, float), numpy.asarray(groups)
    out = numpy.zeros(len(rewards))
    for group in set(groups.tolist()):
        at = numpy.flatnonzero(groups == group)
        others = (rewards[at].sum() - rewards[at]) / (len(at) - 1)
        out[at] = rewards[at] - others
    return out / (numpy.sqrt(numpy.mean(out**2)) + 1e-8)


class Program:
    def __init__(self, arguments):
        self.base = [arguments.regard]
        self.settings = ["--config", arguments.config, "--set", f"tokenizer.path={arguments.out}/tokenizer"]

    def run(self, verb, model, data, to, *settings):
        command = self.base + [verb, "--model", model, "--data", data, "--out", to] + self.settings
        for setting in settings:
            command += ["--set", setting]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)}: {done.stderr}")
        return done.stdout


def update_rows(replies, advantages):
    return [{"history_tokens": r["history_tokens"], "reply_tokens": r["reply_tokens"],
             "logp": r["logp"], "advantage": float(a)} for r, a in zip(replies, advantages)]


def sums(path):
    return numpy.array([sum(row["logp"]) for row in read(path)])


def sign_check(program, model, folder, histories):
    prompts, replies = os.path.join(folder, "prompts.jsonl"), os.path.join(folder, "replies.jsonl")
    write(prompts, histories[:12])
    program.run("generate", model, prompts, replies, "rollout.candidates=8", "reward.scale=none")
    rows = read(replies)
    before = numpy.array([sum(row["logp"]) for row in rows])
    length = numpy.array([len(row["logp"]) for row in rows])
    truth = group_advantages([row["coverage"] for row in rows], [row["id"] for row in rows])
    shuffled = numpy.random.default_rng(3).permutation(truth)
    for name, given in (("coverage's advantage", truth), ("its opposite", -truth), ("shuffled", shuffled)):
        data, after = os.path.join(folder, "update.jsonl"), os.path.join(folder, "updated")
        shutil.rmtree(after, ignore_errors=True)
        write(data, update_rows(rows, given))
        said = program.run("update", model, data, after, "policy.lr=1e-5", "kl.coef=0")
        first = json.loads(said.splitlines()[0])
        program.run("score", after, replies, os.path.join(folder, "after.jsonl"))
        change = (sums(os.path.join(folder, "after.jsonl")) - before) / length
        print(f"update by {name}: correlation of the change of log-probability a token with the "
              f"advantage given {numpy.corrcoef(change, given)[0, 1]:+.2f}, with coverage's "
              f"{numpy.corrcoef(change, truth)[0, 1]:+.2f}; first ratio deviation "
              f"{first['ratio_deviation']:g}")


def rigged_check(program, model, folder, histories, updates):
    def count(row):
        return len(re.findall(r"\bthe\b", row["reply"].lower()))

    current, curve = model, []
    prompts, replies = os.path.join(folder, "prompts.jsonl"), os.path.join(folder, "replies.jsonl")
    for step in range(updates):
        write(prompts, [histories[(12 * step + i) % len(histories)] for i in range(12)])
        program.run("generate", current, prompts, replies, "rollout.candidates=8", f"seed={step + 1}")
        rows = read(replies)
        rewards = [count(row) for row in rows]
        curve.append(float(numpy.mean(rewards)))
        data = os.path.join(folder, "update.jsonl")
        write(data, update_rows(rows, group_advantages(rewards, [row["id"] for row in rows])))
        after = os.path.join(folder, f"rigged-{step % 2}")
        shutil.rmtree(after, ignore_errors=True)
        program.run("update", current, data, after, "policy.lr=3e-4", "kl.coef=0")
        current = after
    picks = sorted({*range(0, updates, 10), updates - 1})
    print("rigged reward, mean count of \"the\" in a reply (update: count):",
          ", ".join(f"{i}: {curve[i]:.2f}" for i in picks))
    with open(os.path.join(folder, "rigged.json"), "w", encoding="utf-8") as out:
        json.dump(curve, out)


def length_check(out):
    for name in sorted(os.listdir(os.path.join(out, "arms"))):
        path = os.path.join(out, "arms", name, "metrics.jsonl")
        if not name.startswith("length") or not os.path.exists(path):
            continue
        rows = [row for row in read(path) if "reward" in row]
        # The policy starts to move after critic.warmup updates.
        print(f"{name}: tokens a reply in updates 1 to 50, 91 to 100, the last ten: "
              + ", ".join(f"{numpy.mean([r['reply_length'] for r in part]):.2f}"
                          for part in (rows[:50], rows[90:100], rows[-10:])))


def main():
    parser = argparse.ArgumentParser()
    for name in ("regard", "config", "out", "model"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--updates", type=int, default=50)
    arguments = parser.parse_args()
    program = Program(arguments)
    folder = os.path.join(arguments.out, "checks")
    os.makedirs(folder, exist_ok=True)
    source = os.path.join(arguments.out, "table", "histories.jsonl")
    if not os.path.exists(source):
        sys.exit(f"{source} is not there yet: run the part `table` first")
    if os.path.isdir(os.path.join(arguments.out, "arms")):
        log_check(arguments.out)
        length_check(arguments.out)
    lines = [{k: row[k] for k in ("id", "messages")} for row in read(source)]
    sign_check(program, arguments.model, folder, lines)
    # From the idf table's folder comes the salience; updated folders need only the tokenizer.
    rigged_check(program, arguments.model, folder, lines, arguments.updates)


if __name__ == "__main__":
    main()
