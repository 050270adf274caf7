"""Corpora of written dialogues in miniature, in their published files. Each function returns the root."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

QUESTIONS = ("What day is it?", "Where is the station?", "Tell me a joke.", "How old is the moon?")


def moss(
    root: Path,
    count: int = 60,
    questions: tuple[str, ...] = QUESTIONS,
    answer: str = "It is number {}. I hope it helps.",
) -> Path:
    folder = root / "conversation_without_plugins" / "writing"
    folder.mkdir(parents=True)
    with open(folder / "writing_1.jsonl", "w", encoding="utf-8") as file:
        for i in range(count):
            chat = {
                f"turn_{turn + 1}": {
                    "Human": f"<|Human|>: {questions[(i + turn) % 4]}<eoh>\n",
                    "Inner Thoughts": "<|Inner Thoughts|>: None<eot>\n",
                    "Commands": "<|Commands|>: None<eoc>\n",
                    "Tool Responses": "<|Results|>: None<eor>\n",
                    "MOSS": f"<|MOSS|>: {answer.format(i)}<eom>\n",
                }
                for turn in range(2)
            }
            row = {"conversation_id": i, "meta_instruction": "You are MOSS.", "num_turns": 2, "chat": chat}
            file.write(json.dumps({**row, "category": "Writing"}, ensure_ascii=False) + "\n")
    return root


def alpaca(root: Path, count: int = 60) -> Path:
    path = root / "alpaca_data.json"
    rows = [
        {"instruction": QUESTIONS[i % 4], "input": "", "output": f"This is answer {i}. There is no more to say."}
        for i in range(count)
    ]
    path.write_text(json.dumps(rows, indent=1))
    return path


def sharegpt(root: Path) -> Path:
    path = root / "sharegpt.json"
    turns = [
        {"from": "system", "value": "Be kind."},
        {"from": "human", "value": "Hello?"},
        {"from": "gpt", "value": "Good day."},
        {"from": "human", "value": "See https://example.org please"},
        {"from": "gpt", "value": "I cannot."},
    ]
    path.write_text(json.dumps([{"id": "a1", "conversations": turns}]))
    return path


def oasst(root: Path) -> Path:
    path = root / "2023-04-12_oasst_ready.trees.jsonl.gz"
    best = {"text": "Blue.", "role": "assistant", "lang": "en", "rank": 0, "replies": []}
    other = {"text": "Red.", "role": "assistant", "lang": "en", "rank": 1, "replies": []}
    prompt = {"text": "Which colour?", "role": "prompter", "lang": "en", "replies": [other, best]}
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(json.dumps({"message_tree_id": "t1", "tree_state": "ready_for_export", "prompt": prompt}) + "\n")
    return path


def sgd(root: Path) -> Path:
    for name in ("train", "dev", "test"):
        folder = root / "dstc8-schema-guided-dialogue" / name
        folder.mkdir(parents=True)
        turns = [
            {"speaker": "USER", "utterance": "Find me a table for two.", "frames": []},
            {"speaker": "SYSTEM", "utterance": "In which city?", "frames": []},
            {"speaker": "USER", "utterance": "In San Jose.", "frames": []},
            {"speaker": "SYSTEM", "utterance": "There is one at seven.", "frames": []},
        ]
        (folder / "schema.json").write_text("[]")
        rows = [{"dialogue_id": "1_00000", "services": ["Restaurants_1"], "turns": turns}]
        (folder / "dialogues_001.json").write_text(json.dumps(rows))
    return root


def taskmaster(root: Path) -> Path:
    folder = root / "TM-1-2019"
    (folder / "train-dev-test").mkdir(parents=True)
    rows = []
    for i, name in enumerate(("train", "dev", "test")):
        said = [
            ("USER", "I want"),
            ("USER", "a pizza."),
            ("ASSISTANT", "Which size?"),
            ("USER", "Large."),
            ("ASSISTANT", "Done."),
        ]
        turns = [{"index": n, "speaker": who, "text": text} for n, (who, text) in enumerate(said)]
        rows.append({"conversation_id": f"dlg-{i}", "instruction_id": "pizza-1", "utterances": turns})
        (folder / "train-dev-test" / f"{name}.csv").write_text(f"dlg-{i},\n")
    (folder / "self-dialogs.json").write_text(json.dumps(rows, indent=2))
    (folder / "ontology.json").write_text("{}")
    return root
