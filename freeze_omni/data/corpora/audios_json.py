"""The JSON that WenetSpeech and GigaSpeech share: long recordings under `audios`, each with its segments."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from freeze_omni.data.corpora.base import Corpus, CorpusError, Item, Skipped, Utterance
from freeze_omni.data.corpora.json_files import stream_array
from freeze_omni.data.tables import read_jsonl, write_lines

_RECORDINGS_A_PART = 50


def split_audios(path: Path, work: Path, subsets: Mapping[str, str]) -> dict[str, list[str]]:
    """Split the file into lists of some recordings each, for the wanted sets; set name -> lists below `work`.

    subsets: subset as the segments name it -> name of our set. Earlier lists of the same file are kept.
    Raises CorpusError if the file is missing or not as published.
    """
    if not path.is_file():
        raise CorpusError(f"{path}: no such file; give the folder that the download created")
    stat = path.stat()
    state = json.dumps([str(path), stat.st_size, stat.st_mtime_ns, sorted(subsets.items())])
    mark = hashlib.sha256(state.encode()).hexdigest()[:8]
    done = work / "parts.json"
    if done.is_file():
        kept = json.loads(done.read_text(encoding="utf-8"))
        if kept["of"] == state:
            return kept["parts"]
    parts: dict[str, list[str]] = {}
    waiting: dict[str, list[str]] = {name: [] for name in subsets.values()}

    def write(name: str) -> None:
        file = f"{name}.{mark}.{len(parts.setdefault(name, [])):05d}.jsonl"
        write_lines(work / file, waiting[name])
        parts[name].append(str(work / file))
        waiting[name].clear()

    try:
        for audio in stream_array(path, "audios"):
            for subset, name in subsets.items():
                segments = [segment for segment in audio["segments"] if subset in segment["subsets"]]
                if segments:
                    waiting[name].append(json.dumps({**audio, "segments": segments}, ensure_ascii=False))
                    if len(waiting[name]) == _RECORDINGS_A_PART:
                        write(name)
    except (ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{path}: not as published ({error!r}); fetch it again") from None
    for name in waiting:
        if waiting[name]:
            write(name)
    write_lines(done, [json.dumps({"of": state, "parts": parts})])
    return parts


class AudiosJson(Corpus):
    """Reads such a corpus; a subclass says which training subsets there are, and the text of a segment."""

    train: ClassVar[tuple[str, ...]]
    subset: str

    def __post_init__(self) -> None:
        if self.subset not in self.train:
            raise CorpusError(f"--subset {self.subset}: one of {', '.join(self.train)}")

    def text_of(self, segment: dict[str, Any]) -> str | Skipped:
        """What is said in a segment, or why it is skipped."""
        raise NotImplementedError

    def read(self, name: str, part: str) -> Iterator[Item]:
        folder = self.folder
        for _, audio in read_jsonl(part):
            for number, segment in enumerate(audio["segments"]):
                try:
                    yield self._item(folder, audio, segment)
                except (ValueError, KeyError, TypeError, AttributeError):
                    yield Skipped(f"{audio.get('aid')}, segment {number}", "not a segment as published")

    def _item(self, folder: Path, audio: dict[str, Any], segment: dict[str, Any]) -> Item:
        key, text = segment["sid"], self.text_of(segment)
        if isinstance(text, Skipped):
            return text
        times = float(segment["begin_time"]), float(segment["end_time"])
        return Utterance(key, key, text, str(folder / audio["path"]), audio["aid"], *times)
