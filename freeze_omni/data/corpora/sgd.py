"""Schema-Guided Dialogue: {train,dev,test}/dialogues_*.json, arrays of dialogues with USER and SYSTEM turns."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from freeze_omni.data.corpora.base import Corpus, CorpusError, Item, option
from freeze_omni.data.corpora.json_files import stream_array
from freeze_omni.data.corpora.speakable import speakable_dialogue


@dataclass(frozen=True)
class Sgd(Corpus):
    """Sets qa_train, qa_dev, qa_test, as published."""

    role = "qa"
    source = "https://github.com/google-research-datasets/dstc8-schema-guided-dialogue"
    archive = ("dstc8-schema-guided-dialogue", "train/schema.json")
    root: Path = option(None, "the folder dstc8-schema-guided-dialogue, or the one that holds it")
    most_words: int = option(60, "a longer turn of the user ends the dialogue")

    def sets(self, work: Path) -> dict[str, list[str]]:
        folder = self.folder
        files = {name: sorted((folder / name).glob("dialogues_*.json")) for name in ("train", "dev", "test")}
        return {f"qa_{name}": [str(path) for path in paths] for name, paths in files.items() if paths}

    def read(self, name: str, part: str) -> Iterator[Item]:
        try:
            for dialogue in stream_array(Path(part), ""):
                turns = [(turn["speaker"], turn["utterance"].strip()) for turn in dialogue["turns"]]
                key = f"sgd-{name.removeprefix('qa_')}-{dialogue['dialogue_id']}"
                yield speakable_dialogue(key, alternate(turns, "USER"), "task", self.most_words)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorpusError(f"{part}: not as published ({error!r}); fetch it again") from None


def alternate(turns: list[tuple[str, str]], user: str) -> list[tuple[str, str]]:
    """Rounds (user, other): turns in a row of one side are joined; an opening of the other side is skipped."""
    rounds: list[list[str]] = []
    last_user = False
    for side, text in turns:
        if side == user:
            if last_user:
                rounds[-1][0] += f" {text}"
            else:
                rounds.append([text, ""])
        elif rounds:
            rounds[-1][1] = f"{rounds[-1][1]} {text}".strip()
        last_user = side == user
    return [(asked, said) for asked, said in rounds if said]
