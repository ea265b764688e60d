"""Lines for a study, by the standard library alone:

    python lines.py slots IN OUT FIRST COUNT    dialogues FIRST to FIRST + COUNT - 1 of IN; each reply gets the
                                                `slots` it repeats: what it names that was said before it
    python lines.py histories IN OUT TURNS COUNT  one history a reply, of the first TURNS of each of COUNT
                                                dialogues (0: all), with `gold` and `slots` beside it
    python lines.py whole IN OUT TURNS COUNT    the dialogues of these histories, each up to the last reply
    python lines.py measure HISTORIES REPLIES OUT REWARD  what `regard generate` wrote: a line of numbers a reply,
                                                with the one named REWARD (reward, ROUGE-L, slots) as its reward
"""

import json
import sys

from texts import chrf, mentions, rouge_l, slot_share, values_of


def read(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def write(path, rows):
    with open(path, "w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def with_slots(row):
    said = ""
    for message in row["messages"]:
        if message["role"] == "assistant":
            slots = [value for value in values_of(message["content"]) if mentions(said, value)]
            if slots:
                message["slots"] = slots
        said += message["content"] + "\n"
    # A line whose replies repeat nothing stays one that the verifier can read, by slots of a message that is no
    # reply: its replies earn 0.
    if not any("slots" in message for message in row["messages"]):
        row["messages"][0]["slots"] = row["messages"][0]["content"].split()[:1]
    return row


def slots(source, to, first, count):
    write(to, [with_slots(row) for row in read(source)[int(first):int(first) + int(count)]])


def as_messages(row):
    """Reasoning lines are a question and a worked answer."""
    if "question" not in row:
        return row
    gold = "\n".join(row["steps"] + ["#### " + str(row["answer"])])
    kept = {name: value for name, value in row.items() if name not in ("question", "steps")}
    return dict(kept, messages=[{"role": "user", "content": row["question"]}, {"role": "assistant", "content": gold}])


def held_out(source, turns, count):
    """Of each dialogue that is measured its line, and where its first replies are among the messages."""
    turns, count, out = int(turns), int(count), []
    rows = read(source)
    if len(rows) < count:
        sys.exit(f"tools/studies/lines.py: {source} has {len(rows)} lines, and {count} are to be measured; "
                 "--held-out asks for fewer")
    for row in rows[:count] if count else rows:
        row = as_messages(row)
        places = [i for i, message in enumerate(row["messages"])
                  if message["role"] == "assistant" and i >= row.get("given", 0)]
        out.append((row, places[:turns]))
    return out


def whole(source, to, turns, count):
    write(to, [dict(row, messages=row["messages"][:places[-1] + 1] if places else row["messages"])
               for row, places in held_out(source, turns, count)])


def histories(source, to, turns, count):
    out = []
    for at, (row, places) in enumerate(held_out(source, turns, count)):
        for place in places:
            gold = row["messages"][place]
            out.append(dict(row, id=f"{at}.{place}", messages=row["messages"][:place], gold=gold["content"],
                            slots=gold.get("slots", [])))
    write(to, out)


def measure(of, replies, to, reward):
    history = {row["id"]: row for row in read(of)}
    seen, out = set(), []
    with open(replies, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            line = history[row["id"]]
            text = row["reply"]
            one = {"id": row["id"], "dialogue": row["id"].split(".")[0], "candidate": row["candidate"],
                   "ROUGE-L": rouge_l(text, line["gold"]), "chrF": chrf(text, line["gold"]),
                   "tokens": len(row["reply_tokens"]), "distinct": float((row["id"], text) not in seen),
                   "reward": row["reward"]}
            if line["slots"]:
                one["slots"] = slot_share(text, line["slots"])
            if "verifier" in row and "answer" in line:
                one["right"] = row["verifier"]
            if "kind" in line:
                one["kind"] = line["kind"]
            one["reward"] = one.get(reward, 0.0)
            seen.add((row["id"], text))
            out.append(one)
    write(to, out)


if __name__ == "__main__":
    verbs = {"slots": slots, "histories": histories, "whole": whole, "measure": measure}
    if len(sys.argv) < 2 or sys.argv[1] not in verbs:
        sys.exit(__doc__)
    verbs[sys.argv[1]](*sys.argv[2:])
