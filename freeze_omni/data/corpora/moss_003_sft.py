"""moss-003-sft-data: multi-round dialogues, one JSON object a line, in files or a tree of folders (by category)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freeze_omni.data.corpora.base import Corpus, CorpusError, Item, Skipped, option, qa_set, share_of
from freeze_omni.data.corpora.json_files import byte_ranges, read_rows
from freeze_omni.data.corpora.speakable import checked_rounds, speakable_dialogue

# `<|Human|>: ...<eoh>` and `<|MOSS|>: ...<eom>`
_MARKS = re.compile(r"^\s*<\|(?:Human|MOSS)\|>:\s*|\s*<eo[hm]>\s*$")


@dataclass(frozen=True)
class Moss003Sft(Corpus):
    """Sets qa_train, qa_dev, qa_test. The paper takes 60,000 multi-round dialogues (a share of about 0.06)."""

    role = "qa"
    source = "https://huggingface.co/datasets/fnlp/moss-003-sft-data"
    root: Path = option(None, "the .jsonl file, or the folder with the unpacked .jsonl files")
    share: float = option(1.0, "share of the dialogues that is used")
    held_out: float = option(0.005, "share of these in qa_dev, and as many in qa_test")
    least_rounds: int = option(2, "shorter dialogues are skipped")
    most_words: int = option(60, "a longer turn of the user ends the dialogue")

    def sets(self, work: Path) -> dict[str, list[str]]:
        files = [self.root] if self.root.is_file() else sorted(self.root.rglob("*.jsonl"))
        if not files:
            packed = " (unpack its .zip files)" if any(self.root.rglob("*.zip")) else ""
            raise CorpusError(f"{self.root}: no .jsonl file in it{packed}")
        parts = [f"{part} {file}" for file in files for part in byte_ranges(file)]
        return {name: list(parts) for name in ("qa_train", "qa_dev", "qa_test")}

    def read(self, name: str, part: str) -> Iterator[Item]:
        where, _, file = part.partition(" ")
        for place, row in read_rows(Path(file), where):
            rounds = checked_rounds(row, rounds_of)
            if row is None or rounds is None or "conversation_id" not in row:
                if name == "qa_train":
                    yield Skipped(f"{file} at byte {place}", "not a dialogue in JSON")
                continue
            kind = str(row.get("category") or "dialogue")
            key = re.sub(r"\W+", "-", f"moss-{kind}-{row['conversation_id']}").lower()
            place = share_of(key) / self.share if self.share else 1.0
            if place < 1 and qa_set(place, self.held_out) == name:
                yield speakable_dialogue(key, rounds, kind, self.most_words, self.least_rounds)


def rounds_of(row: dict[str, Any]) -> list[tuple[str, str]]:
    """(user, assistant) of each turn: of the published form (`chat`) and of the plain one (`conversation`)."""
    if "conversation" in row:
        return [(turn.get("human", ""), turn.get("assistant", "")) for turn in row["conversation"]]
    turns = row.get("chat", {})
    numbered = sorted(turns, key=lambda name: int(name.rpartition("_")[2] or 0))
    return [tuple(_MARKS.sub("", turns[name].get(side) or "") for side in ("Human", "MOSS")) for name in numbered]
