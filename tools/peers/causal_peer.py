"""One peer at work on SmolLM2-135M's float32 weights, as tools/peers/causal.py starts it:

    causal_peer.py PEER FOLDER THREADS

A line with a row's name on standard input is one round of it; the answer is a line of JSON with its
seconds, from token ids on the host to what it made on the host. FOLDER holds hf/, ct2/ and
smollm2.gguf."""
import itertools
import json
import os
import pathlib
import sys
import time

import numpy as np

# What is measured; tools/regard/bench_scale.c has the same.
HISTORIES, HISTORY, CANDIDATES, NEW = 4, 256, 8, 32
PREFILL_HISTORIES = 8
TEMPERATURE, TOP_K, TOP_P = 0.8, 50, 0.9
VOCABULARY, FIRST_WORD, CLIP, LEARNING_RATE = 49152, 17, 0.1, 1e-5  # ids below FIRST_WORD are special


def histories(count, seed=2):
    return np.random.default_rng(seed).integers(FIRST_WORD, VOCABULARY, (count, HISTORY)).tolist()


class CTranslate2:
    """num_hypotheses: the prompt is read once for all its candidates."""

    def __init__(self, folder, threads):
        import ctranslate2
        self.version = ctranslate2.__version__
        self.generator = ctranslate2.Generator(str(folder / "ct2"), device="cpu", compute_type="float32",
                                               inter_threads=1, intra_threads=threads)
        words = json.loads((folder / "ct2" / "vocabulary.json").read_text(encoding="utf-8"))
        self.words = lambda lines: [[words[token] for token in line] for line in lines]

    def run(self, lines, candidates, new):
        results = self.generator.generate_batch(
            self.words(lines), beam_size=1, num_hypotheses=candidates, sampling_topk=TOP_K,
            sampling_topp=TOP_P, sampling_temperature=TEMPERATURE, min_length=new, max_length=new,
            include_prompt_in_result=False, end_token=[])
        return sum(len(ids) for result in results for ids in result.sequences_ids)

    def generate(self):
        return self.run(histories(HISTORIES), CANDIDATES, NEW)

    def prefill(self):
        self.generator.forward_batch(self.words(histories(PREFILL_HISTORIES)))
        return PREFILL_HISTORIES * HISTORY


class LlamaCpp:
    """llama.cpp's own batches: a history is decoded once into one sequence, whose keys and values its
    candidates' sequences share; then all candidates step together."""

    def __init__(self, folder, threads):
        import llama_cpp
        self.version, self.c = llama_cpp.__version__, llama_cpp
        c = llama_cpp
        self.log = c.llama_log_callback(lambda level, text, data: None)
        c.llama_log_set(self.log, None)
        c.llama_backend_init()
        model = c.llama_model_load_from_file(str(folder / "smollm2.gguf").encode(), c.llama_model_default_params())
        settings = c.llama_context_default_params()
        rows = HISTORIES * CANDIDATES
        settings.n_ctx = PREFILL_HISTORIES * HISTORY + rows * NEW
        settings.n_batch = PREFILL_HISTORIES * HISTORY
        settings.n_seq_max = rows
        settings.kv_unified = True
        settings.n_threads = settings.n_threads_batch = threads
        settings.type_k = settings.type_v = int(os.environ.get("LLAMA_KV", c.GGML_TYPE_F32))
        self.context = c.llama_init_from_model(model, settings)
        self.memory = c.llama_get_memory(self.context)
        self.batch = c.llama_batch_init(settings.n_batch, 0, 1)
        self.samplers = [self.sampler(row) for row in range(rows)]

    def sampler(self, seed):
        c = self.c
        chain = c.llama_sampler_chain_init(c.llama_sampler_chain_default_params())
        for part in (c.llama_sampler_init_top_k(TOP_K), c.llama_sampler_init_top_p(TOP_P, 1),
                     c.llama_sampler_init_temp(TEMPERATURE), c.llama_sampler_init_dist(seed)):
            c.llama_sampler_chain_add(chain, part)
        return chain

    def decode(self, entries):
        """entries: (token, position, sequence, whether its logits are wanted)."""
        b = self.batch
        b.n_tokens = len(entries)
        for i, (token, position, sequence, wanted) in enumerate(entries):
            b.token[i], b.pos[i], b.n_seq_id[i], b.seq_id[i][0] = token, position, 1, sequence
            b.logits[i] = wanted
        if self.c.llama_decode(self.context, b):
            raise SystemExit("llama_decode failed")

    def read(self, lines, every):
        self.c.llama_memory_clear(self.memory, True)
        self.decode([(token, i, h * every, i == HISTORY - 1) for h, line in enumerate(lines)
                     for i, token in enumerate(line)])

    def generate(self):
        lines, made = histories(HISTORIES), 0
        self.read(lines, CANDIDATES)
        places = []
        for h in range(HISTORIES):
            for k in range(CANDIDATES):
                if k:
                    self.c.llama_memory_seq_cp(self.memory, h * CANDIDATES, h * CANDIDATES + k, -1, -1)
                places.append((h + 1) * HISTORY - 1)
        for step in range(NEW):
            tokens = [self.c.llama_sampler_sample(sampler, self.context, place)
                      for sampler, place in zip(self.samplers, places)]
            made += len(tokens)
            if step + 1 < NEW:
                self.decode([(token, HISTORY + step, row, 1) for row, token in enumerate(tokens)])
                places = range(len(tokens))
        return made

    def prefill(self):
        self.read(histories(PREFILL_HISTORIES), 1)
        self.c.llama_synchronize(self.context)
        return PREFILL_HISTORIES * HISTORY


class LlamaPython:
    """llama-cpp-python's own Llama: one sequence at a time; a candidate begins with what is kept of its history."""

    def __init__(self, folder, threads):
        import llama_cpp
        self.version = llama_cpp.__version__
        self.model = llama_cpp.Llama(
            str(folder / "smollm2.gguf"), n_ctx=HISTORY + NEW, n_batch=HISTORY, n_threads=threads,
            n_threads_batch=threads, type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32, verbose=False)

    def generate(self):
        made = 0
        for line in histories(HISTORIES):
            for _ in range(CANDIDATES):
                tokens = self.model.generate([int(token) for token in line], top_k=TOP_K, top_p=TOP_P, temp=TEMPERATURE,
                                             min_p=0.0, repeat_penalty=1.0)
                made += len(list(itertools.islice(tokens, NEW)))
        return made


class Torch:
    def __init__(self, folder, threads):
        import torch
        import transformers
        self.version, self.torch = f"torch {torch.__version__}, transformers {transformers.__version__}", torch
        torch.set_num_threads(threads)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            folder / "hf", dtype=torch.float32, attn_implementation="sdpa")


class Transformers(Torch):
    """generate, attention by sdpa; no statistics."""

    def generate(self):
        ids = self.torch.tensor(histories(HISTORIES))
        with self.torch.no_grad():
            made = self.model.generate(
                input_ids=ids, attention_mask=self.torch.ones_like(ids), do_sample=True, temperature=TEMPERATURE,
                top_k=TOP_K, top_p=TOP_P, num_return_sequences=CANDIDATES, min_new_tokens=NEW, max_new_tokens=NEW)
        return made[:, HISTORY:].numel()

    def prefill(self):
        ids = self.torch.tensor(histories(PREFILL_HISTORIES))
        with self.torch.no_grad():
            self.model(input_ids=ids, logits_to_keep=1)
        return ids.numel()


class TorchUpdate(Torch):
    """One PPO step: forward, backward, norm clipped, AdamW; the head on the replies' rows alone."""

    def __init__(self, folder, threads):
        super().__init__(folder, threads)
        torch = self.torch
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
        random = np.random.default_rng(3)
        self.histories = torch.tensor(histories(HISTORIES))
        self.replies = torch.tensor(random.integers(FIRST_WORD, VOCABULARY, (HISTORIES, CANDIDATES, NEW)))
        self.advantage = torch.tensor(random.choice([-1.0, 1.0], (HISTORIES, CANDIDATES, 1)), dtype=torch.float32)
        with torch.no_grad():
            self.old = torch.stack([self.logp_pairs(h, range(CANDIDATES)) for h in range(HISTORIES)])

    def logp_of(self, hidden, targets):
        logits = self.model.lm_head(hidden) / TEMPERATURE
        return self.torch.log_softmax(logits, -1).gather(-1, targets[..., None])[..., 0]

    def logp_pairs(self, h, candidates):
        """[candidates, NEW]: every reply with a history of its own."""
        torch, replies = self.torch, self.replies[h, list(candidates)]
        ids = torch.cat([self.histories[h].expand(len(replies), -1), replies[:, :-1]], 1)
        hidden = self.model.model(input_ids=ids, use_cache=False).last_hidden_state
        return self.logp_of(hidden[:, HISTORY - 1 :], replies)

    def logp_shared(self, h):
        """[CANDIDATES, NEW]: one sequence of the history and all its replies, kept apart by the mask."""
        torch, replies = self.torch, self.replies[h]
        inputs = replies[:, :-1]
        ids = torch.cat([self.histories[h], inputs.flatten()])[None]
        own = NEW - 1
        positions = torch.cat([torch.arange(HISTORY), HISTORY + torch.arange(own).repeat(CANDIDATES)])[None]
        branch = torch.cat([torch.zeros(HISTORY, dtype=torch.long), 1 + torch.arange(CANDIDATES * own) // own])
        seen = (branch[None, :] == 0) | (branch[:, None] == branch[None, :])
        seen &= positions[0][None, :] <= positions[0][:, None]
        mask = torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)[None, None]
        hidden = self.model.model(input_ids=ids, position_ids=positions, attention_mask=mask,
                                  use_cache=False).last_hidden_state[0]
        rows = torch.cat([hidden[HISTORY - 1].expand(CANDIDATES, 1, -1),
                          hidden[HISTORY:].view(CANDIDATES, own, -1)], 1)
        return self.logp_of(rows, replies)

    def learn(self, parts):
        """parts: (history, candidates, a call that gives their log-probabilities)."""
        torch = self.torch
        self.optimizer.zero_grad()
        for h, candidates, logp_of in parts:
            ratio = (logp_of() - self.old[h, candidates]).exp()
            advantage = self.advantage[h, candidates]
            loss = -torch.minimum(ratio * advantage, ratio.clamp(1 - CLIP, 1 + CLIP) * advantage).sum()
            (loss / self.replies.numel()).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return self.replies.numel()

    def check(self):
        with self.torch.no_grad():
            off = float((self.logp_shared(0) - self.old[0]).abs().max())
        if not off < 1e-2:
            raise SystemExit(f"the mask gives other log-probabilities than pairs, by {off:.2g}")

    def update_pairs(self):
        each = 4  # pairs of a pass
        return self.learn([(h, list(range(k, k + each)), lambda h=h, k=k: self.logp_pairs(h, range(k, k + each)))
                           for h in range(HISTORIES) for k in range(0, CANDIDATES, each)])

    def update_shared(self):
        return self.learn([(h, list(range(CANDIDATES)), lambda h=h: self.logp_shared(h)) for h in range(HISTORIES)])


PEERS = {"ctranslate2": CTranslate2, "llama.cpp": LlamaCpp, "llama-cpp-python": LlamaPython, "transformers": Transformers, "pytorch": TorchUpdate}


def main(name, folder, threads):
    peer = PEERS[name](pathlib.Path(folder), int(threads))
    if hasattr(peer, "check"):
        peer.check()
    say = lambda **values: print(json.dumps(values), flush=True)
    say(version=peer.version)
    for line in sys.stdin:
        start = time.perf_counter()
        tokens = getattr(peer, line.strip())()
        say(seconds=time.perf_counter() - start, tokens=tokens)


if __name__ == "__main__":
    main(*sys.argv[1:])
