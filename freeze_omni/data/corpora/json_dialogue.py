"""Dialogues of instruction data in JSON: Alpaca, ShareGPT, OpenAI messages, OASST trees; .json, .jsonl, .jsonl.gz."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from freeze_omni.data.corpora.base import Corpus, CorpusError, Item, Skipped, option, qa_set, share_of
from freeze_omni.data.corpora.json_files import byte_ranges, is_array, read_rows, stream_array
from freeze_omni.data.corpora.speakable import checked_rounds, speakable_dialogue

USER = ("human", "user", "prompter")
ASSISTANT = ("gpt", "assistant", "chatgpt", "bing", "bard")
_IDS = ("id", "message_tree_id", "conversation_id")
_SUFFIXES = (".json", ".jsonl", ".jsonl.gz")


@dataclass(frozen=True)
class JsonDialogue(Corpus):
    """Sets qa_train, qa_dev, qa_test, split by the dialogues' ids. The keys of each object show its form."""

    role = "qa"
    source = "your own file"
    root: Path = option(None, f"a file ({', '.join(_SUFFIXES)}) or a folder of such files")
    language: str = option("", "OASST: only messages of this language, as en")
    held_out: float = option(0.02, "share of the dialogues in qa_dev, and as many in qa_test")
    least_rounds: int = option(1, "shorter dialogues are skipped")
    most_words: int = option(60, "a longer turn of the user ends the dialogue")

    def sets(self, work: Path) -> dict[str, list[str]]:
        files = [self.root] if self.root.is_file() else sorted(self.root.rglob("*"))
        files = [file for file in files if file.is_file() and file.name.endswith(_SUFFIXES)]
        if not files:
            raise CorpusError(f"{self.root}: no file that ends in {', '.join(_SUFFIXES)}")
        parts = []
        for file in files:
            parts += [f"{part} {file}" for part in (["array"] if is_array(file) else byte_ranges(file))]
        return {name: list(parts) for name in ("qa_train", "qa_dev", "qa_test")}

    def read(self, name: str, part: str) -> Iterator[Item]:
        where, _, file = part.partition(" ")
        path = Path(file)
        rows = enumerate(stream_array(path, "")) if where == "array" else read_rows(path, where)
        stem = path.name.split(".")[0]
        try:
            for place, row in rows:
                row = row if isinstance(row, dict) else {}
                rounds = checked_rounds(row, lambda row: rounds_of(row, self.language))
                own = next((row[name] for name in _IDS if row.get(name) not in (None, "")), place)
                key = re.sub(r"\W+", "-", f"{stem}-{own}").lower().strip("-")
                if qa_set(share_of(key), self.held_out) != name:
                    continue
                if rounds is None:
                    yield Skipped(f"{file}: {key}", "none of the known forms of a dialogue")
                else:
                    yield speakable_dialogue(key, rounds, "dialogue", self.most_words, self.least_rounds)
        except ValueError as error:
            raise CorpusError(str(error)) from None


def rounds_of(row: dict[str, Any], language: str = "") -> list[tuple[str, str]]:
    """(user, assistant) of each round. Raises ValueError for an object of no known form."""
    if "instruction" in row and "output" in row:  # Alpaca, with the history of its multi-round form
        asked = " ".join(filter(None, (row["instruction"], row.get("input") or "")))
        return [*(tuple(pair) for pair in row.get("history") or ()), (asked, row["output"])]
    if isinstance(row.get("conversations"), list):  # ShareGPT
        return pair_up([(turn.get("from"), turn.get("value")) for turn in row["conversations"]])
    if isinstance(row.get("messages"), list):  # OpenAI
        return pair_up([(turn.get("role"), turn.get("content")) for turn in row["messages"]])
    if isinstance(row.get("prompt"), dict):  # OASST
        return pair_up(best_path(row["prompt"], language))
    raise ValueError("no known form")


def best_path(message: dict[str, Any] | None, language: str) -> list[tuple[Any, Any]]:
    """The turns of an OASST tree that people ranked best at each reply."""
    turns = []
    while message and not message.get("deleted") and language in ("", message.get("lang", language)):
        turns.append((message.get("role"), message.get("text")))
        replies = message.get("replies") or []
        message = min(replies, key=lambda reply: reply["rank"] if reply.get("rank") is not None else inf, default=None)
    return turns


def pair_up(turns: list[tuple[Any, Any]]) -> list[tuple[str, str]]:
    """Rounds of alternating turns; what comes before the user's first turn (a system turn) is skipped."""
    rounds: list[tuple[str, str]] = []
    user: str | None = None
    for role, text in turns:
        if role in USER and isinstance(text, str):
            if user is not None:
                break
            user = text
        elif role in ASSISTANT and isinstance(text, str) and user is not None:
            rounds.append((user, text))
            user = None
        elif rounds or user is not None:
            break
    return rounds
