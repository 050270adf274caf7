"""Stage 2: a Kaldi directory becomes single files at one rate, cut and padded; a file that fits stays as it is."""

import functools
import hashlib
import itertools
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from freeze_omni.data.audio import AudioError, Wav, change_speed, file_of, read_audio, read_header, write_wav
from freeze_omni.data.augment import coloured_noise
from freeze_omni.data.ids import check_ids
from freeze_omni.data.parts import WHOLE, Part
from freeze_omni.data.progress import parallel_map
from freeze_omni.data.tables import (
    Segment,
    TableError,
    read_dir,
    read_jsonl,
    read_lines,
    write_jsonl,
    write_lines,
    write_speakers,
    write_table,
)

_PAD_LEVEL = 10 ** (-66 / 20)
_FITTING = (".wav", ".flac")  # formats that training reads as quickly as ours
_CHUNK = 32
_PIECE = 100  # recordings
PARTS = ".parts"  # what the jobs of an array made, until it is merged
MADE = ".prepared"  # names of the files of wav/ that were made here; no others are removed
_LATE_S = 0.1  # a segment may end this much after its recording


@dataclass(frozen=True)
class PrepareConfig:
    """pad_s: faint noise before and after. most_skipped: a larger share of unusable audio is an error."""

    hz: int = 16000
    min_s: float = 0.2
    max_s: float = 30.0
    speeds: tuple[float, ...] = (1.0,)
    pad_s: tuple[float, float] = (0.0, 0.0)
    most_skipped: float = 0.1

    def __post_init__(self) -> None:
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
    """One prepared utterance: its file and length, or why there is none."""

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


@dataclass(frozen=True)
class Piece:
    """Recordings that a job of an array prepares; rows: the file that says what came out."""

    rows: Path
    recordings: tuple[WavEntry, ...]


def prepare_dir(source: str | Path, output: str | Path, config: PrepareConfig, nj: int = 1, part: Part = WHOLE) -> int:
    """Write `output`/{wav.scp,text,utt2spk,spk2utt,utt2num_samples,wav/}; returns the utterances kept.

    part: makes files alone, without the tables, and returns how many utterances it saw.

    Speeds other than 1 get `sp0.9-` before utterance and speaker. A rerun keeps finished files. What is left out, as
    audio that cannot be used or by its length, is listed in `output`/skipped.
    Raises TableError: tables do not match, an id cannot name a file, nothing has the right length, or `output` holds
    tables that were not prepared here. AudioError: too much cannot be used.
    """
    source, output = Path(source), Path(output).resolve()
    entries, segments, texts, speakers = read_dir(source)
    check_ids([*texts, *entries, *speakers.values()], source)
    _refuse_others(source, output)
    (output / "wav").mkdir(parents=True, exist_ok=True)
    pieces = _pieces(_recordings(texts, entries, segments), output)
    if not part.alone:
        return sum(len(_prepare_piece(piece, output / "wav", config)) for piece in part.of(pieces))
    all_made = _make(pieces, output, config, nj)
    skipped = [made for made in all_made if made.reason]
    fewest, most = config.min_s * config.hz, config.max_s * config.hz
    kept = [made for made in all_made if not made.reason and fewest <= made.samples <= most]
    wanted = f"not {config.min_s:g} to {config.max_s:g}"
    other = [
        replace(made, reason=f"{made.samples / config.hz:.2f} s long, {wanted}")
        for made in all_made
        if not made.reason and not fewest <= made.samples <= most
    ]
    if len(skipped) > config.most_skipped * len(texts) * len(config.speeds):
        raise AudioError(f"{skipped[0].reason} ({len(skipped)} such)" if len(skipped) > 1 else skipped[0].reason)
    if not kept:
        raise TableError(f"{source}: no utterance lasts {config.min_s:g} to {config.max_s:g} s")
    write_lines(output / "skipped", (f"{made.key}\t{made.reason}" for made in [*skipped, *other]))
    write_table(output / "wav.scp", {made.key: made.path for made in kept})
    write_table(output / "text", {made.key: texts[made.utterance] for made in kept})
    write_speakers(output, {made.key: made.prefix + speakers[made.utterance] for made in kept})
    write_table(output / "utt2num_samples", {made.key: made.samples for made in kept})
    _remove_earlier(output, {Path(made.path).name for made in all_made if made.path})
    return len(kept)


def _refuse_others(source: Path, output: Path) -> None:
    """Raises TableError if `output` is a data directory of someone else: its tables would be overwritten."""
    if output == source.resolve():
        raise TableError(f"{output}: is the source itself; give another folder for the prepared audio")
    earlier = all((output / name).exists() for name in ("utt2num_samples", "skipped"))  # without MADE
    ours = (output / MADE).exists() or earlier
    if (output / "wav.scp").exists() and not ours:
        raise TableError(f"{output}: holds a data directory that was not prepared here; give another folder")


def _make(pieces: Sequence[Piece], output: Path, config: PrepareConfig, nj: int) -> list[Made]:
    """Prepare what no job of an array has, and write into `output`/MADE which files are ours, as they come."""
    folder, made = output / "wav", {number: _kept(piece, config) for number, piece in enumerate(pieces)}
    left = [recording for number, piece in enumerate(pieces) if not made[number] for recording in piece.recordings]
    work = functools.partial(_prepare, folder=folder, config=config)
    with open(output / MADE, "a", encoding="utf-8") as ours:

        def note(group: Sequence[Made]) -> Sequence[Made]:
            ours.writelines(f"{Path(one.path).name}\n" for one in group if Path(one.path).parent == folder)
            ours.flush()
            return group

        groups = map(note, parallel_map(work, left, nj, output.name, chunk=_CHUNK))
        for number, piece in enumerate(pieces):
            made[number] = note(made[number]) or [one for _ in piece.recordings for one in next(groups)]
        next(groups, None)
    shutil.rmtree(output / PARTS, ignore_errors=True)
    return [one for group in made.values() for one in group]


def _pieces(recordings: Sequence[WavEntry], output: Path) -> list[Piece]:
    """The set alone decides them."""
    return [
        Piece(output / PARTS / f"{number:06d}.jsonl", some)
        for number, some in enumerate(itertools.batched(recordings, _PIECE))
    ]


def _prepare_piece(piece: Piece, folder: Path, config: PrepareConfig) -> list[Made]:
    """Also writes its rows, if they are not there."""
    made = _kept(piece, config)
    if not made:
        made = [one for recording in piece.recordings for one in _prepare(recording, folder, config)]
        write_jsonl(piece.rows, [_made_from(piece, config), *map(asdict, made)])
    return made


def _kept(piece: Piece, config: PrepareConfig) -> list[Made]:
    """What a job of an array made of it; nothing, if none did, or of something else."""
    if not piece.rows.exists():
        return []
    rows = [row for _, row in read_jsonl(piece.rows)]
    return [Made(**row) for row in rows[1:]] if rows[0] == _made_from(piece, config) else []


def _made_from(piece: Piece, config: PrepareConfig) -> str:
    """Changes with the sound and with all that is done to it."""
    names = [_fingerprint(one.entry, None, 1.0, config) for one in piece.recordings]
    return hashlib.sha256(repr((names, piece.recordings, config)).encode()).hexdigest()


def _remove_earlier(output: Path, names: set[str]) -> None:
    """Remove the files of earlier runs from wav/, and no others: someone may keep their own there."""
    ours = set(read_lines(output / MADE))
    for name in ours - names:
        (output / "wav" / name).unlink(missing_ok=True)
    write_lines(output / MADE, sorted(ours & names))


def _recordings(texts: dict, entries: dict[str, str], segments: dict[str, Segment]) -> list[WavEntry]:
    """What is decoded together, in the order of `text`."""
    if not segments:
        return [WavEntry(entries[key], ((key, None),)) for key in texts]
    cuts: dict[str, list[tuple[str, Segment | None]]] = {}
    for key in texts:
        cuts.setdefault(segments[key].recording, []).append((key, segments[key]))
    return [WavEntry(entries[name], tuple(found)) for name, found in cuts.items()]


def _prepare(recording: WavEntry, folder: Path, config: PrepareConfig) -> list[Made]:
    """Prepare all utterances of a recording, which is decoded at most once."""
    whole: Wav | None = None
    made = []
    for (utterance, segment), speed in itertools.product(recording.utterances, config.speeds):
        one = Made(utterance, speed)
        try:
            if fits := _as_it_is(recording.entry, segment, speed, config):
                made.append(replace(one, path=recording.entry, samples=fits))
                continue
            path = folder / f"{one.key}-{_fingerprint(recording.entry, segment, speed, config)}.wav"
            if not path.exists():
                whole = read_audio(recording.entry, config.hz)[0] if whole is None else whole
                wav = change_speed(_cut(whole, utterance, segment, recording.entry, config.hz), speed, config.hz)
                wav = wav / np.abs(wav).max(initial=np.float32(1))  # where a float file exceeds full scale
                write_wav(path, _pad(wav, config.hz, config.pad_s, one.key), config.hz)
            made.append(replace(one, path=str(path), samples=read_header(path).samples))
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
    return hashlib.sha256(repr((entry, seen, segment, speed, config.hz, config.pad_s)).encode()).hexdigest()[:8]


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
