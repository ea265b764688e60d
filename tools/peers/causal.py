"""regard beside its peers on decoder-only models: rounds of all programs in turn, a line of JSON a
round and a table at the end. Started by tools/peers/causal."""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent


class Peer:
    """A process of causal_peer.py that does a round when it is asked to."""

    def __init__(self, name, folder, threads):
        self.process = subprocess.Popen([sys.executable, HERE / "causal_peer.py", name, folder, str(threads)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self.answer()["version"]

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a peer ended")
        return json.loads(line)

    def round(self, row):
        self.process.stdin.write(row + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def bench(args, part, threads, rounds=1):
    command = [args.regard, "bench", part, "--shape", "causal", "--model", str(args.folder / "hf"), "--rounds",
               str(rounds), "--set", f"threads={threads}", "--set", "device=cpu"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def ours_generate(made):
    generate = made["generate"]
    return {"regard": generate["turn_ms"] * 1e-3, "regard without statistics": generate["turn_ms_capture_off"] * 1e-3}


def ours_update(made):
    return {"regard, ppo": made["update"]["ppo_step"]["seconds"], "regard, sft": made["update"]["sft_step"]["seconds"]}


def ours_prefill(made):
    return {"regard": made["prefill"]["milliseconds"] * 1e-3}


# row: regard's part and its seconds by name; the peers and what each is asked for.
SIDE_BY_SIDE = {
    "generate": ("generate", ours_generate, [("ctranslate2", "generate"), ("llama.cpp", "generate"),
                                             ("llama-cpp-python", "generate"), ("transformers", "generate")]),
    "update": ("update", ours_update, [("pytorch", "update_pairs"), ("pytorch", "update_shared")]),
    "prefill": ("prefill", ours_prefill, [("ctranslate2", "prefill"), ("llama.cpp", "prefill"),
                                          ("transformers", "prefill")]),
}
TOKENS = {"generate": 4 * 8 * 32, "update": 4 * 8 * 32, "prefill": 8 * 256}


def side_by_side(args, row, threads):
    part, seconds_of, asked = SIDE_BY_SIDE[row]
    asked = [(name, what) for name, what in asked if not args.peers or name in args.peers.split(",")]
    peers = {name: Peer(name, args.folder, threads) for name in dict.fromkeys(name for name, _ in asked)}
    seconds, rates = {}, []
    for number in range(args.rounds):
        made = bench(args, part, threads)
        rates += [made["peaks"]["matmul_gflops"], made["peaks_after"]["matmul_gflops"]]
        one = seconds_of(made)
        for name, what in asked:
            one[name if name != "pytorch" else f"pytorch, {what}"] = peers[name].round(what)["seconds"]
        print(json.dumps(dict(row=row, threads=threads, round=number, seconds=one, matmul_gflops=rates[-2:])), flush=True)
        for name, value in one.items():
            seconds.setdefault(name, []).append(value)
    for peer in peers.values():
        peer.close()
    versions = {name: peer.version for name, peer in peers.items()}
    best = statistics.median(next(iter(seconds.values())))
    for name, values in seconds.items():
        median = statistics.median(values)
        yield (row, threads, name, f"{median:.2f} s ({min(values):.2f} to {max(values):.2f})",
               f"{TOKENS[row] / median:.1f}", f"{median / best:.2f}")
    print(json.dumps(dict(row=row, threads=threads, versions=versions, matmul_gflops=statistics.median(rates))),
          flush=True)


def alone(args, row, threads):
    """Rows of regard's own, beside rates of the same run."""
    part = "generate" if row == "capture" else row
    made = bench(args, part, threads, 15 if row == "capture" else args.rounds)
    print(json.dumps(dict(made, row=row, threads=threads)), flush=True)
    line = made[part]
    if row == "decode":
        yield (row, threads, "regard", f"{line['step_ms']:.1f} ms a token", f"{line['tokens_s']:.1f}",
               f"{100 * line['share_of_read']:.0f}% of {made['peaks']['read_gb_s']:.1f} GB/s read")
    elif row == "turns":
        yield (row, threads, "regard", f"{line['kept_ms']:.0f} ms, anew {line['anew_ms']:.0f} ms", "",
               f"{line['anew_over_kept']:.2f} times, tokens {line['tokens_anew_over_kept']:.2f}")
    else:
        off = 1 / line["on_over_off"] - 1, 1 / line["on_over_off_to"] - 1, 1 / line["on_over_off_from"] - 1
        yield (row, threads, "regard", f"{line['turn_ms']:.0f} ms, off {line['turn_ms_capture_off']:.0f} ms",
               f"{line['tokens_s_capture_on']:.1f}",
               f"on costs {100 * off[0]:+.2f}% ({100 * off[1]:+.2f} to {100 * off[2]:+.2f})")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--regard", default="build/regard")
    parser.add_argument("--rows", default="generate,update,prefill,decode,turns,capture")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--peers", default="", help="of those of a row, separated by commas; empty: all")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    table = []
    for row in args.rows.split(","):
        for threads in map(int, args.threads.split(",")):
            table += side_by_side(args, row, threads) if row in SIDE_BY_SIDE else alone(args, row, threads)
    print("\n| row | threads | program | median (lowest, highest) | tokens/s | against regard |\n"
          "| --- | --- | --- | --- | --- | --- |")
    for line in table:
        print("| " + " | ".join(map(str, line)) + " |")


if __name__ == "__main__":
    main()
