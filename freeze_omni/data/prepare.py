"""Stage 2: a Kaldi directory becomes single files at one rate, cut and padded; a file that fits stays as it is."""

import fcntl
import functools
import hashlib
import itertools
import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from freeze_omni.data.archives import file_of, new_archive
from freeze_omni.data.audio import (
    AudioError,
    Wav,
    change_speed,
    content_header,
    encode_audio,
    read_audio,
    read_header,
)
from freeze_omni.data.augment import coloured_noise
from freeze_omni.data.corpora.shards import REPORT, SKIPPED, merge_shards, sort_lines
from freeze_omni.data.parts import WHOLE, Part
from freeze_omni.data.progress import parallel_map
from freeze_omni.data.split import PARTS, ROWS, DataDir, open_dir, part_size, write_parts
from freeze_omni.data.tables import (
    Segment,
    TableError,
    each_line,
    parse_segment,
    read_json,
    read_jsonl,
    whole_file,
    write_jsonl,
    write_lines,
    write_table,
)

_PAD_LEVEL = 10 ** (-66 / 20)
_FITTING = (".wav", ".flac")  # formats that training reads as quickly as ours
AUDIO_FORMATS = ("wav", "flac", "flac.ark")
ARCHIVES = "archives"  # the folder of tar shards, or arks
MADE = ".prepared"  # names of the sounds that were made here; no others are removed
MADE_FROM = "made_from"  # of all parts, the last file that is written of them
TABLES = ("wav.scp", "text", "utt2spk", "utt2num_samples", SKIPPED)
_LATE_S = 0.1  # a segment may end this much after its recording


@dataclass(frozen=True)
class PrepareConfig:
    """pad_s: faint noise before and after. most_skipped: a larger share of unusable audio is an error.

    audio_format: of the sounds, as ESPnet names them: wav or flac, one file each, or flac.ark. shards: utterances of
    the directory that make a tar shard; 0: no shards.
    """

    hz: int = 16000
    min_s: float = 0.2
    max_s: float = 30.0
    speeds: tuple[float, ...] = (1.0,)
    pad_s: tuple[float, float] = (0.0, 0.0)
    most_skipped: float = 0.1
    audio_format: str = "wav"
    shards: int = 0

    @property
    def sound(self) -> str:
        """Suffix of a sound."""
        return self.audio_format.partition(".")[0]

    @property
    def in_archives(self) -> bool:
        return bool(self.shards) or self.audio_format.endswith(".ark")

    def __post_init__(self) -> None:
        if self.audio_format not in AUDIO_FORMATS:
            raise ValueError(f"audio_format {self.audio_format}: give one of {', '.join(AUDIO_FORMATS)}")
        if self.shards < 0 or (self.shards and self.audio_format.endswith(".ark")):
            raise ValueError("shards are 0 or more utterances, of wav or flac: an ark is no shard")
        if self.hz < 8000 or not self.speeds or min(self.speeds) <= 0:
            raise ValueError("hz must be 8000 or more, and speeds positive")
        if not 0 <= self.min_s < self.max_s or min(self.pad_s) < 0:
            raise ValueError("lengths must be 0 <= min_s < max_s, and pad_s not negative")


@dataclass(frozen=True)
class WavEntry:
    """One entry of wav.scp with the utterances that are cut from it (None: the whole is one)."""

    entry: str
    utterances: tuple[tuple[str, Segment | None], ...]


@dataclass(frozen=True)
class Made:
    """One prepared utterance: its place and length, or why there is none."""

    utterance: str
    speed: float
    path: str = ""
    samples: int = 0
    reason: str = ""

    @property
    def key(self) -> str:
        return self.prefix + self.utterance

    @property
    def prefix(self) -> str:
        return "" if self.speed == 1 else f"sp{self.speed:g}-"


def prepare_dir(source: str | Path, output: str | Path, config: PrepareConfig, nj: int = 1, part: Part = WHOLE) -> int:
    """Write `output`/{wav.scp,text,utt2spk,spk2utt,utt2num_samples} and the sounds; returns the utterances kept.

    part: of an array of jobs; makes its share of the sounds alone, for the job that merges, and returns how many.

    Speeds other than 1 get `sp0.9-` before utterance and speaker. A rerun keeps finished files and archives. What is
    left out, as audio that cannot be used or by its length, is listed in `output`/skipped. Memory does not grow with
    the directory: its rows are split into parts on the disk, and the tables of the parts are merged.
    Raises TableError: tables do not match, an id cannot name a file, nothing has the right length, or `output` holds
    tables that were not prepared here. AudioError: too much cannot be used.
    """
    source, output = Path(source), Path(output).resolve()
    _refuse_others(source, output)
    rows = open_dir(source)
    folder = output / PARTS
    parts = _parts(rows, output, config.shards or part_size(len(rows.texts)))
    (output / "wav").mkdir(parents=True, exist_ok=True)
    work = functools.partial(_prepare_part, output=output, config=config)
    reports = list(parallel_map(work, part.of(parts), nj, output.name))
    if not part.alone:
        return sum(report["kept"] for report in reports)
    _keep_names(output, folder)
    kept, unusable = (sum(report[name] for report in reports) for name in ("kept", "unusable"))
    reason = next((report["reason"] for report in reports if report["reason"]), "")
    if unusable > config.most_skipped * len(rows.texts) * len(config.speeds):
        raise AudioError(f"{reason} ({unusable} such)" if unusable > 1 else reason)
    if not kept:
        raise TableError(f"{source}: no utterance lasts {config.min_s:g} to {config.max_s:g} s")
    merge_shards(parts, output, TABLES)
    (output / SKIPPED).touch()
    _remove_earlier(output, parts)
    shutil.rmtree(folder)
    if not config.in_archives:
        shutil.rmtree(output / ARCHIVES, ignore_errors=True)
    return kept


def _refuse_others(source: Path, output: Path) -> None:
    """Raises TableError if `output` is a data directory of someone else: its tables would be overwritten."""
    if output == source.resolve():
        raise TableError(f"{output}: is the source itself; give another folder for the prepared audio")
    earlier = all((output / name).exists() for name in ("utt2num_samples", SKIPPED))  # without MADE
    ours = (output / MADE).exists() or earlier
    if (output / "wav.scp").exists() and not ours:
        raise TableError(f"{output}: holds a data directory that was not prepared here; give another folder")


def _parts(rows: DataDir, output: Path, size: int) -> list[Path]:
    """The parts of the rows: as a killed run or another job of an array left them, or new ones."""
    folder = output / PARTS
    tables = [table.path for table in (rows.wavs, rows.texts, rows.segments, rows.speakers) if table is not None]
    digests = []
    for path in tables:
        with open(path, "rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
    made_from = json.dumps([size, *digests])
    output.mkdir(parents=True, exist_ok=True)
    lock = os.open(output, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one job of an array makes them
        _keep_names(output, folder)
        known = folder / MADE_FROM
        if known.exists() and known.read_text(encoding="utf-8").strip() == made_from:
            return sorted(one for one in folder.iterdir() if one.is_dir())
        parts = write_parts(rows, folder, size)
        write_lines(known, [made_from])
        return parts
    finally:
        os.close(lock)


def _keep_names(output: Path, folder: Path) -> None:
    """Add the files that parts have begun to `output`/MADE, so that those of a killed run are known, too."""
    with open(output / MADE, "a", encoding="utf-8") as ours:
        for names in sorted(folder.glob(f"*/{MADE}")):
            ours.write(names.read_text(encoding="utf-8"))


def _remove_earlier(output: Path, parts: Sequence[Path]) -> None:
    """Remove the sounds of earlier runs, and no others: someone may keep their own there."""
    sort_lines(["-u", str(output / MADE)], output / MADE)
    current = output / PARTS / "current"
    write_lines(current, (name for part in parts for name in each_line(part / MADE)))
    sort_lines(["-u", str(current)], current)
    now = each_line(current)
    name = next(now, None)
    for made in each_line(output / MADE):
        while name is not None and name < made:
            name = next(now, None)
        if name != made:
            (output / made if "/" in made else output / "wav" / made).unlink(missing_ok=True)
    shutil.copyfile(current, output / MADE)


def _prepare_part(part: Path, output: Path, config: PrepareConfig) -> dict[str, Any]:
    """Prepare a part's utterances and write its tables; returns its report. What is finished is kept."""
    rows = [content for _, content in read_jsonl(part / ROWS)]
    sources = [_fingerprint(row["entry"], None, 1.0, config) for row in rows]
    made_from = hashlib.sha256(repr((rows, sources, config)).encode()).hexdigest()
    if (part / REPORT).exists():
        found = read_json(part / REPORT)
        if found["made_from"] == made_from:
            return found
    made = (
        _archived(part, rows, output, config, made_from) if config.in_archives else _filed(part, rows, output, config)
    )
    report = _write_tables(part, rows, made, config) | {"made_from": made_from}
    write_lines(part / REPORT, [json.dumps(report)])  # the last: with it the part is finished
    return report


def _filed(part: Path, rows: list[dict[str, Any]], output: Path, config: PrepareConfig) -> list[Made]:
    """Each sound in a file of its own."""
    with open(part / MADE, "w", encoding="utf-8") as names:

        def place(key: str, name: str, suffix: str, sound: Callable[[], bytes]) -> tuple[str, int]:
            names.write(f"{name}.{suffix}\n")
            names.flush()
            path = output / "wav" / f"{name}.{suffix}"
            if not path.exists():
                with whole_file(path) as partial:
                    partial.write_bytes(sound())
            return str(path), read_header(path).samples

        return [one for row in rows for one in _prepare(_entry_of(row), config, place)]


def _archived(
    part: Path, rows: list[dict[str, Any]], output: Path, config: PrepareConfig, made_from: str
) -> list[Made]:
    """All sounds in one archive, whose name has what it is made from."""
    entries = [_entry_of(row) for row in rows]
    archive = output / ARCHIVES / f"{part.name}-{made_from[:12]}.{'tar' if config.shards else 'ark'}"
    write_lines(part / MADE, [f"{ARCHIVES}/{archive.name}", f"{ARCHIVES}/{archive.name}.jsonl"])
    index = archive.with_name(f"{archive.name}.jsonl")
    if archive.exists() and index.exists():
        return [Made(**content) for _, content in read_jsonl(index)]
    texts = {utterance: text for row in rows for utterance, text, *_ in row["utterances"]}
    with new_archive(archive) as sounds:

        def place(key: str, name: str, suffix: str, sound: Callable[[], bytes]) -> tuple[str, int]:
            content = sound()
            text = texts[key.split("-", 1)[1] if key not in texts else key]
            return f"{archive}:{sounds.add(key, content, suffix, text)}", content_header(content).samples

        made = [one for entry in entries for one in _prepare(entry, config, place)]
    write_jsonl(index, [asdict(one) for one in made])
    return made


def _entry_of(row: dict[str, Any]) -> WavEntry:
    cuts = [(utterance, parse_segment(cut) if cut else None) for utterance, _, _, cut in row["utterances"]]
    return WavEntry(row["entry"], tuple(cuts))


def _write_tables(part: Path, rows: list[dict[str, Any]], made: list[Made], config: PrepareConfig) -> dict[str, Any]:
    """Tables of a part; returns how many are kept, how many cannot be used, and why the first of them."""
    known = {utterance: (text, speaker) for row in rows for utterance, text, speaker, _ in row["utterances"]}
    fewest, most = config.min_s * config.hz, config.max_s * config.hz
    wanted = f"not {config.min_s:g} to {config.max_s:g}"
    kept = [one for one in made if not one.reason and fewest <= one.samples <= most]
    unusable = [one for one in made if one.reason]
    other = [
        replace(one, reason=f"{one.samples / config.hz:.2f} s long, {wanted}")
        for one in made
        if not one.reason and not fewest <= one.samples <= most
    ]
    write_table(part / "wav.scp", {one.key: one.path for one in kept})
    write_table(part / "text", {one.key: known[one.utterance][0] for one in kept})
    write_table(part / "utt2spk", {one.key: one.prefix + known[one.utterance][1] for one in kept})
    write_table(part / "utt2num_samples", {one.key: one.samples for one in kept})
    write_lines(part / SKIPPED, sorted(f"{one.key}\t{one.reason}" for one in [*unusable, *other]))
    return {"kept": len(kept), "unusable": len(unusable), "reason": unusable[0].reason if unusable else ""}


type Place = Callable[[str, str, str, Callable[[], bytes]], tuple[str, int]]
"""(id, name, suffix, what gives the sound's bytes) -> the entry of wav.scp, and its samples."""


def _prepare(recording: WavEntry, config: PrepareConfig, place: Place) -> list[Made]:
    """Prepare all utterances of a recording, which is decoded at most once."""
    whole: Wav | None = None

    def changed(utterance: str, segment: Segment | None, speed: float, key: str) -> bytes:
        nonlocal whole
        whole = read_audio(recording.entry, config.hz)[0] if whole is None else whole
        wav = change_speed(_cut(whole, utterance, segment, recording.entry, config.hz), speed, config.hz)
        wav = wav / np.abs(wav).max(initial=np.float32(1))  # where a float file exceeds full scale
        return encode_audio(_pad(wav, config.hz, config.pad_s, key), config.hz, config.sound)

    made = []
    for (utterance, segment), speed in itertools.product(recording.utterances, config.speeds):
        one = Made(utterance, speed)
        try:
            fits = _as_it_is(recording.entry, segment, speed, config)
            if fits and not config.in_archives:
                made.append(replace(one, path=recording.entry, samples=fits))
                continue
            name = f"{one.key}-{_fingerprint(recording.entry, segment, speed, config)}"
            work: Callable[[], bytes]
            if fits and recording.entry.endswith(config.sound):
                work = Path(recording.entry).read_bytes
            else:
                work = functools.partial(changed, utterance, segment, speed, one.key)
            entry, samples = place(one.key, name, config.sound, work)
            made.append(replace(one, path=entry, samples=samples))
        except AudioError as error:
            made.append(replace(one, reason=str(error)))
    return made


def _as_it_is(entry: str, segment: Segment | None, speed: float, config: PrepareConfig) -> int:
    """Samples of a file that needs no change; 0 if it needs one. Raises AudioError: broken."""
    if segment is not None or speed != 1 or any(config.pad_s) or not entry.endswith(_FITTING):
        return 0
    try:
        header = read_header(entry)
    except AudioError as error:
        raise AudioError(f"{entry}: {error}; fix or remove it") from None
    return header.samples if header.bounded and (header.rate_hz, header.channels) == (config.hz, 1) else 0


def _fingerprint(entry: str, segment: Segment | None, speed: float, config: PrepareConfig) -> str:
    """Eight digits that change with the source file and all that is done to it: part of the file's name."""
    place = file_of(entry)
    source = os.stat(place[0]) if place and os.path.exists(place[0]) else None
    seen = (source.st_mtime_ns, source.st_size) if source else ()
    format_ = () if config.audio_format == "wav" else (config.audio_format,)
    made_by = (entry, seen, segment, speed, config.hz, config.pad_s, *format_)
    return hashlib.sha256(repr(made_by).encode()).hexdigest()[:8]


def _cut(whole: Wav, utterance: str, segment: Segment | None, entry: str, hz: int) -> Wav:
    """The utterance's part of the recording. Raises AudioError: it ends after the recording, or is silent."""
    wav = whole
    if segment is not None:
        length = f"{entry}: {len(whole) / hz:.2f} s long, but {utterance}"
        start = round(segment.start_s * hz)
        end = len(whole) if segment.end_s == math.inf else round(segment.end_s * hz)
        if end > len(whole) + _LATE_S * hz:
            raise AudioError(f"{length} ends at {segment.end_s:g} s; fix segments")
        if start >= len(whole):
            raise AudioError(f"{length} starts at {segment.start_s:g} s; fix segments")
        wav = whole[start:end]
        if not len(wav):
            raise AudioError(f"{entry}: {utterance} is shorter than a sample; fix segments")
    if not wav.any():
        raise AudioError(f"{entry}: {utterance} is all silence; remove it from the directory")
    return wav


def _pad(wav: Wav, hz: int, pad_s: tuple[float, float], key: str) -> Wav:
    before, after = (round(pad * hz) for pad in pad_s)
    if not before and not after:
        return wav
    rng = np.random.default_rng(list(key.encode()))
    noise = coloured_noise(before + len(wav) + after, 1.0, rng) * np.float32(_PAD_LEVEL)
    noise[before : before + len(wav)] = wav
    return noise
