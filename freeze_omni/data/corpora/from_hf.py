"""Any audio data set of the Hugging Face `datasets` library: a hub name, a folder saved by it, or a folder of files."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from freeze_omni.data.corpora.base import Corpus, CorpusError, Item, Skipped, Utterance, in_range, option, ranges
from freeze_omni.data.ids import id_fault
from freeze_omni.data.rows import read_csv
from freeze_omni.data.tables import whole_file

AUDIO_COLUMNS = ("audio", "speech", "file", "file_name")
TEXT_COLUMNS = ("text", "sentence", "transcription", "transcript", "normalized_text", "raw_transcription")
SPEAKER_COLUMNS = ("speaker_id", "speaker", "client_id")
ID_COLUMNS = ("id", "utterance_id", "segment_id")


@dataclass(frozen=True)
class FromHf(Corpus):
    """Sets are the splits. Columns that are not given are found by their usual names."""

    role = "asr"
    source = "https://huggingface.co/datasets"
    root: Path = option(None, "hub name (as user/name), or a folder")
    config: str = option("", "configuration of the data set, as a language")
    audio: str = option("", f"audio column; else the first of {', '.join(AUDIO_COLUMNS)}")
    text: str = option("", f"text column; else the first of {', '.join(TEXT_COLUMNS)}")
    speaker: str = option("", f"speaker column; else the first of {', '.join(SPEAKER_COLUMNS)}, or none")
    audio_dir: Path = option(Path("downloads/from_hf"), "where sound that is stored inside tables is written")

    def sets(self, work: Path) -> dict[str, list[str]]:
        return {name: ranges(len(rows), 500) for name, rows in load(self).items()}

    def read(self, name: str, part: str) -> Iterator[Item]:
        rows, ids, cut = load(self)[name], ids_of(self, name), in_range(part)
        audio, text, _, _ = self.columns(rows.column_names)
        for number in range(cut.start, cut.stop):
            row, (utterance, who) = rows[number], ids[number]
            reason, path = id_fault(utterance), None
            if reason is None and not isinstance(row[text], str):
                reason = "the row has no text"
            if reason is None:
                path = self.sound_of(row[audio], name, utterance)
                reason = None if path else "the row has no sound"
            if reason or path is None:
                yield Skipped(f"{name}, row {number}: {utterance}", str(reason))
            else:
                yield Utterance(utterance, who, row[text], path)

    def columns(self, there: list[str]) -> tuple[str, ...]:
        """Names of the columns with audio, text, speaker and id ("" for none). Raises CorpusError."""
        found = []
        needed = ((self.audio, AUDIO_COLUMNS, "audio"), (self.text, TEXT_COLUMNS, "text"))
        for given, usual, what in (*needed, (self.speaker, SPEAKER_COLUMNS, ""), ("", ID_COLUMNS, "")):
            name = given or next((column for column in usual if column in there), "")
            if given and given not in there or what and not name:
                listed = ", ".join(there)
                raise CorpusError(f"{self.root}: no column '{given or what}'; name one of {listed} by --{what or name}")
            found.append(name)
        return tuple(found)

    def sound_of(self, cell: Any, name: str, key: str) -> str | None:
        """A file with the sound of a cell: its own if it is on disk, else a copy of what the table holds."""
        if isinstance(cell, str):  # the name of a file, relative to its table
            below = [self.root / name / cell, self.root / cell]
            return str(next((path for path in below if path.is_file()), cell))
        if not cell:
            return None
        own, content = cell.get("path"), cell.get("bytes")
        if content is None:
            return own
        path = self.audio_dir.resolve() / name / f"{key}{Path(own or '').suffix or suffix_of(content)}"
        if not path.is_file() or path.stat().st_size != len(content):
            with whole_file(path) as partial:
                partial.write_bytes(content)
        return str(path)


def suffix_of(content: bytes) -> str:
    suffixes = {b"fLaC": ".flac", b"OggS": ".ogg", b"ID3": ".mp3", b"\xff\xfb": ".mp3"}
    return next((suffix for start, suffix in suffixes.items() if content.startswith(start)), ".wav")


def _word(value: Any) -> str:
    return re.sub(r"[^\w.+-]+", "_", str(value)).lstrip("-.") or "_"


@cache
def ids_of(corpus: FromHf, name: str) -> list[tuple[str, str]]:
    """Id and speaker of each row of a split. An id that the column gives twice gets the number of its row, too."""
    rows = load(corpus)[name]
    _, _, speaker, key = corpus.columns(rows.column_names)
    who = [name if value in (None, "") else _word(value) for value in rows[speaker]] if speaker else [name] * len(rows)
    given = list(rows[key]) if key else [None] * len(rows)
    own = [f"{number:08d}" if value in (None, "") else _word(value) for number, value in enumerate(given)]
    ids = [one if one.startswith(speaker) else f"{speaker}-{one}" for one, speaker in zip(own, who, strict=True)]
    count = Counter(ids)
    unique = (f"{one}-{number:08d}" if count[one] > 1 else one for number, one in enumerate(ids))
    return list(zip(unique, who, strict=True))


def metadata_tables(root: Path) -> dict[str, Path]:
    """Split -> metadata.csv or metadata.jsonl of a folder of sound files. Raises CorpusError: a split has two."""
    found: dict[str, Path] = {}
    for path in sorted(path for below in ("", "*/") for path in root.glob(f"{below}metadata.*")):
        if path.suffix in (".csv", ".jsonl"):
            split = path.parent.name if path.parent != root else "train"
            if split in found:
                raise CorpusError(f"{found[split]} and {path} are both of the split {split}; take one out")
            found[split] = path
    return found


def read_metadata(path: Path) -> Any:
    """The rows of a table, without decoding any sound; each cell of a .csv is a text, whatever it looks like."""
    import datasets

    if path.suffix == ".jsonl":
        return datasets.load_dataset("json", data_files=str(path), split="train")
    return datasets.Dataset.from_list([row for _, row in read_csv(path)])


@cache
def load(corpus: FromHf) -> dict[str, Any]:
    """Split name -> rows whose sound is left encoded. Raises CorpusError."""
    try:
        import datasets
    except ImportError:
        raise CorpusError("from_hf needs the datasets library: pip install 'freeze-omni[recipes]'") from None
    place = str(corpus.root)
    try:
        if (corpus.root / "dataset_dict.json").is_file() or (corpus.root / "state.json").is_file():
            found = datasets.load_from_disk(place)
        elif tables := metadata_tables(corpus.root):
            found = {name: read_metadata(path) for name, path in tables.items()}
        else:
            found = datasets.load_dataset(place, corpus.config or None)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise CorpusError(f"{place}: datasets cannot load it: {str(error).split('\n')[0]}") from None
    splits = found if isinstance(found, dict) else {"train": found}
    named = {}
    for name, rows in splits.items():
        audio = corpus.columns(rows.column_names)[0]
        if isinstance(rows.features[audio], datasets.Audio):
            rows = rows.cast_column(audio, datasets.Audio(decode=False))
        named[_word(name).replace(".", "_")] = rows
    return named
