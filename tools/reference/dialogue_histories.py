"""Histories to answer, and the gold replies, from a file of dialogues.

    python dialogue_histories.py DIALOGUES OUT [--turns 3] [--dialogues 0]

OUT/histories.jsonl: for each dialogue and each of its first turns a line that ends in the user's
turn, for `regard generate`, its id "DIALOGUE.TURN".  OUT/gold.jsonl: the dialogues cut after as
many turns, for `regard score`; their ids "DIALOGUE".  OUT/references.json: gold text of each id.
"""

import argparse
import json
import os


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dialogues")
    parser.add_argument("out")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--dialogues", dest="most", type=int, default=0, help="0: all")
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    histories, gold, references = [], [], {}
    with open(arguments.dialogues, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if arguments.most and number > arguments.most:
                break
            messages = json.loads(line)["messages"][: 2 * arguments.turns]
            for i in range(1, len(messages), 2):
                name = f"{number}.{(i + 1) // 2}"
                histories.append({"id": name, "messages": messages[:i]})
                references[name] = messages[i]["content"]
            gold.append({"id": str(number), "messages": messages})
    for name, rows in (("histories.jsonl", histories), ("gold.jsonl", gold)):
        with open(os.path.join(arguments.out, name), "w", encoding="utf-8") as out:
            for row in rows:
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
    with open(os.path.join(arguments.out, "references.json"), "w", encoding="utf-8") as out:
        json.dump(references, out, ensure_ascii=False)


if __name__ == "__main__":
    main()
