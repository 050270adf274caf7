"""Write or read a Kaldi directory as a whole."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import soundfile

from freeze_omni.config import ConfigError, build
from freeze_omni.data import tables
from freeze_omni.data.corpora.base import Utterance
from freeze_omni.data.ids import check_ids
from freeze_omni.data.tables import TableError, read_table, write_speakers, write_table
from freeze_omni.data.tts.synthesize import Job


def read_set(folder: Path) -> list[Utterance]:
    """Read wav.scp (an utterance's `audio` is its entry), text and utt2spk. Raises TableError."""
    wavs, texts, speakers = (read_table(folder / name) for name in ("wav.scp", "text", "utt2spk"))
    missing = [key for key in texts if key not in wavs or key not in speakers]
    if missing:
        raise TableError(f"{folder}: {missing[0]} is in text but not in wav.scp and utt2spk")
    check_ids([*texts, *speakers.values()], folder)
    return [Utterance(key, speakers[key], text, wavs[key]) for key, text in texts.items()]


def write_set(
    folder: str | Path, wavs: Mapping[str, object], texts: Mapping[str, str], utt2spk: Mapping[str, str]
) -> None:
    """Write wav.scp, text, utt2spk and spk2utt, sorted by id. Raises TableError before: an id that names no file."""
    check_ids([*texts, *utt2spk.values()], folder)
    write_table(Path(folder) / "wav.scp", wavs)
    write_table(Path(folder) / "text", texts)
    write_speakers(folder, utt2spk)


def write_spoken_set(folder: str | Path, jobs: Sequence[Job], paths: Mapping[str, Path]) -> float:
    """Write the directory of synthesised speech; returns its seconds. Raises TableError as `refuse_recordings`."""
    refuse_recordings(Path(folder))
    spoken = {job.utterance: paths[job.utterance] for job in jobs}
    speakers = {job.utterance: job.voice.speaker for job in jobs}
    write_set(folder, spoken, {job.utterance: job.text for job in jobs}, speakers)
    return sum(soundfile.info(path).duration for path in spoken.values())


def refuse_recordings(folder: Path) -> None:
    """Raises TableError if the folder's wav.scp lists other sounds than synthesised ones: it would be overwritten."""
    lines = tables.read_lines(folder / "wav.scp") if (folder / "wav.scp").exists() else []
    for number, line in enumerate(lines, start=1):
        if not _SYNTHESISED.search(line):
            raise TableError(f"{folder}/wav.scp:{number}: a sound that was not synthesised here; give another folder")


_SYNTHESISED = re.compile(r"/tts/[0-9a-f]{2}/[0-9a-f]{64}\.wav$")  # a sentence of the cache
FILE = "sources.jsonl"


@dataclass(frozen=True)
class Source:
    """One source of one set. missing: why the set has nothing of it, if so."""

    set: str
    source: str
    voices: int = 0
    utterances: int = 0
    minutes: float = 0.0
    missing: str = ""


def write_sources(data: Path, sources: Iterable[Source]) -> None:
    tables.write_jsonl(data / FILE, map(asdict, sources))


def read_sources(path: Path) -> list[Source]:
    """Read sources.jsonl. Raises ConfigError that names the line."""
    try:
        return [build(Source, row, f"{path}:{number}") for number, row in tables.read_jsonl(path)]
    except TableError as error:
        raise ConfigError(f"{error}; run stage 1 again") from None
