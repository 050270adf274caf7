"""Taskmaster 1 to 3: TM-*/**/*.json, arrays of conversations with USER and ASSISTANT (or SYSTEM) utterances."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freeze_omni.data.corpora.base import Corpus, CorpusError, Item, Skipped, lines_of, option, qa_set, share_of
from freeze_omni.data.corpora.json_files import stream_array
from freeze_omni.data.corpora.sgd import alternate
from freeze_omni.data.corpora.speakable import speakable_dialogue

_NOT_DIALOGUES = ("ontology.json", "sample.json", "apis.json")


@dataclass(frozen=True)
class Taskmaster(Corpus):
    """Sets qa_train, qa_dev, qa_test. TM-1's lists of self dialogues are followed; the rest is split by id."""

    role = "qa"
    source = "https://github.com/google-research-datasets/Taskmaster"
    root: Path = option(None, "the folder Taskmaster with TM-1-2019, TM-2-2020 or TM-3-2020 in it")
    held_out: float = option(0.05, "share of the dialogues in qa_dev, and as many in qa_test, if no list says")
    most_words: int = option(60, "a longer turn of the user ends the dialogue")

    def sets(self, work: Path) -> dict[str, list[str]]:
        files = [path for path in sorted(self.root.glob("TM-*/**/*.json")) if path.name not in _NOT_DIALOGUES]
        files = [path for path in files if "ontology" not in path.parts]
        if not files:
            raise CorpusError(f"{self.root}: no TM-1-2019, TM-2-2020 or TM-3-2020 with .json files in it")
        return {name: [str(path) for path in files] for name in ("qa_train", "qa_dev", "qa_test")}

    def read(self, name: str, part: str) -> Iterator[Item]:
        listed = self._listed(Path(part).parent / "train-dev-test")
        try:
            for row in stream_array(Path(part), ""):
                key = str(row.get("conversation_id")) if isinstance(row, dict) else "none"
                if listed.get(key, qa_set(share_of(key), self.held_out)) == name:
                    yield self._item(part, key, row)
        except ValueError as error:
            raise CorpusError(str(error)) from None

    def _item(self, part: str, key: str, row: dict[str, Any]) -> Item:
        try:
            row["conversation_id"]
            turns = [(turn["speaker"].upper(), turn["text"].strip()) for turn in row["utterances"]]
        except (KeyError, TypeError, AttributeError):
            return Skipped(f"{part}: {key}", "no conversation_id, or no utterances with speaker and text")
        return speakable_dialogue(f"tm-{key}", alternate(turns, "USER"), "task", self.most_words)

    def _listed(self, folder: Path) -> dict[str, str]:
        lists = [(which, folder / f"{which}.csv") for which in ("train", "dev", "test")]
        lines = [(which, line) for which, path in lists if path.is_file() for line in lines_of(path)]
        return {line.split(",")[0].strip(): f"qa_{which}" for which, line in lines}
