"""Runs for the tests of reports: make_runs.py FOLDER RUNS UPDATES [EVERY] writes FOLDER/run-1 and so on,
with what runs of `train` write.  The texts are hostile, the numbers are waves."""
import json, math, os, sys

HOSTILE = "</script><script>window.broken = 1</script><img src=x onerror=\"window.broken = 2\"><!-- \u2028 &lt; ]]>"
TERMS = ["coverage", "focus", "rep_hist", "rep_self"]
OTHERS = ["kl", "loss", "reply_length", "gradient_norm", "clip_fraction", "token_entropy", "end_rate", "distinct_2", "seconds",
          "tokens_per_second", "attention_entropy", "learning_rate"] + [f"mass_turn_back_{k}" for k in range(4)] + [f"other_{k}" for k in range(24)]


def wave(*of):
    return round(math.sin(sum((k + 1.7) * x for k, x in enumerate(of))), 7)


def metrics(run, step):
    line = {"step": step, "reward": step / 100 + 0.05 * wave(run, step)}
    for k, term in enumerate(TERMS):
        line |= {term: wave(run, step, k), term + "_scaled": 3 * wave(run, step, k), "within_share_" + term: abs(wave(run, k))}
    line |= {name: abs(wave(run, step, k)) for k, name in enumerate(OTHERS)}
    times = {f"time_{kind}": abs(wave(run, step / 50, k)) for k, kind in enumerate(["generate", "read", "learn", "exchange", "wait_slowest"])}
    return line | times


def held_out(run, step):
    return {"step": step, "eval_reward": step / 100, "eval_bleu": 40 - step / 10 + 0.2 * wave(run, step), "eval_bleu_error": 0.5,
            "eval_rouge_l": 0.5 - step / 1000, "eval_perplexity": 2 + step / 400}


def sample(step, dialogue, turn, candidate, tokens=24, history=60):
    words = [f" w{k}" for k in range(history)]
    words[0] = HOSTILE if dialogue == 0 else "user:"
    pieces = [f" r{k + candidate}" for k in range(tokens - 1)] + [""]
    pieces[0] = HOSTILE
    number = lambda name: [round(abs(wave(step, candidate, k, len(name))), 7) for k in range(tokens)]
    return {"turn": turn, "dialogue": dialogue + 100 * step, "candidate": candidate,
            "messages": [{"role": "user", "content": "".join(words)}], "reply": "".join(pieces), "pieces": pieces,
            "history_tokens": [(7 * k + 10 * dialogue + turn) % 97 for k in range(history)], "history_pieces": words,
            "salient": [int(k % 3 == 0) for k in range(history)], "visible": [int(k > 0) for k in range(history)],
            "reply_tokens": list(range(tokens)), "ended": True, "logp": [-x for x in number("logp")],
            "token_entropy": number("token_entropy"), "attention_entropy": number("attention"), "salient_mass": number("mass"),
            "ratio": [1 + 0.2 * wave(k, candidate) for k in range(tokens)], "credit": [wave(candidate, k) for k in range(tokens)],
            "top_position": [[(k + 5) % history, (k * 3) % history, 1, 2] for k in range(tokens)],
            "top_weight": [[0.5, 0.25, 0.125, 0.0625]] * tokens,
            "coverage": wave(candidate), "focus": wave(step), "reward": wave(step, candidate), "reward_scaled": 2 * wave(step, candidate)}


def main(folder, runs, updates, every=20):
    for run in range(1, runs + 1):
        path = f"{folder}/run-{run}"
        os.makedirs(path + "/samples", exist_ok=True)
        control = "random_salience" if run % 2 == 0 else "none"
        with open(path + "/config.yaml", "w") as file:
            file.write(f"seed: {run}\ncontrol: {control}\ntrain:\n  updates: {updates}\npolicy:\n  lr: {run}.0e-4\n"
                       f"text:\n  system: {json.dumps(HOSTILE)}\n")
        with open(path + "/about.txt", "w") as file:
            file.write(f"A run of `regard train`.\n\n{HOSTILE}\n")
        with open(path + "/metrics.jsonl", "w") as file:
            for step in range(updates + 1):
                if step:
                    print(json.dumps(metrics(run, step) | {HOSTILE: 1.5}), file=file)
                if step % every == 0:
                    print(json.dumps(held_out(run, step)), file=file)
        for step in range(every, updates + 1, every):
            with open(f"{path}/samples/step-{step:06d}.jsonl", "w") as file:
                for dialogue in range(2):
                    for turn in range(1, 4):
                        for candidate in range(8):
                            print(json.dumps(sample(step, dialogue, turn, candidate)), file=file)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
