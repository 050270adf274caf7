"""Stage 2: a Kaldi directory to one of single wav files at one rate, cut, padded, filtered by length."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from freeze_omni.data.audio import AudioError, Wav, change_speed, read_audio, write_wav
from freeze_omni.data.augment import coloured_noise
from freeze_omni.data.progress import parallel_map
from freeze_omni.data.tables import (
    Segment,
    TableError,
    read_segments,
    read_table,
    require_same_ids,
    write_speakers,
    write_table,
)

_PAD_LEVEL = 10 ** (-66 / 20)


@dataclass(frozen=True)
class PrepareConfig:
    """pad_s: faint noise put before and behind, as recordings have it (synthesis is cut tightly)."""

    hz: int = 16000
    min_s: float = 0.2
    max_s: float = 30.0
    speeds: tuple[float, ...] = (1.0,)
    pad_s: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if self.hz < 8000 or not self.speeds or min(self.speeds) <= 0:
            raise ValueError("hz must be 8000 or more, and speeds positive")
        if not 0 <= self.min_s < self.max_s or min(self.pad_s) < 0:
            raise ValueError("lengths must be 0 <= min_s < max_s, and pad_s not negative")


@dataclass(frozen=True)
class Cut:
    """One utterance to be written: where it comes from, which part, how fast."""

    utterance: str
    entry: str
    segment: Segment | None
    speed: float
    output: Path


def prepare_dir(source: str | Path, output: str | Path, config: PrepareConfig, nj: int = 1) -> int:
    """Write `output`/{wav.scp,text,utt2spk,spk2utt,utt2num_samples,wav/}; returns the utterances kept.

    Speeds other than 1 get `sp0.9-` before utterance and speaker. Rerunning takes up finished files.
    Raises:
        TableError, AudioError: inputs that do not fit together or cannot be read; every directory
            is checked before any audio is.
    """
    source, output = Path(source), Path(output)
    entries, segments, texts, speakers = _read_dir(source)
    cuts = []
    for speed in config.speeds:
        prefix = "" if speed == 1 else f"sp{speed:g}-"
        for utterance in texts:
            entry, segment = _where(utterance, entries, segments)
            name = f"{prefix}{utterance}-{_fingerprint(entry, segment, speed, config)}.wav"
            cuts.append(Cut(prefix + utterance, entry, segment, speed, output / "wav" / name))
    work = functools.partial(_write_cut, config=config)
    samples = {}
    for cut, count in zip(cuts, parallel_map(work, cuts, nj, f"{output.name}", chunk=16), strict=True):
        if config.min_s * config.hz <= count <= config.max_s * config.hz:
            samples[cut.utterance] = count
    if not samples:
        raise TableError(f"{source}: no utterance lasts {config.min_s:g} to {config.max_s:g} s")
    kept = {cut.utterance: cut for cut in cuts if cut.utterance in samples}
    origin = {key: key.removeprefix(f"sp{cut.speed:g}-") for key, cut in kept.items()}
    write_table(output / "wav.scp", {key: cut.output.resolve() for key, cut in kept.items()})
    write_table(output / "text", {key: texts[origin[key]] for key in kept})
    prefix = {key: key[: len(key) - len(origin[key])] for key in kept}
    write_speakers(output, {key: prefix[key] + speakers[origin[key]] for key in kept})
    write_table(output / "utt2num_samples", samples)
    _remove_others(output / "wav", {cut.output.name for cut in cuts})
    return len(samples)


def _remove_others(folder: Path, current: set[str]) -> None:
    for path in folder.glob("*.wav"):
        if path.name not in current:
            path.unlink()


def _read_dir(source: Path) -> tuple[dict, dict[str, Segment], dict[str, str], dict[str, str]]:
    entries, texts = read_table(source / "wav.scp"), read_table(source / "text")
    has_segments = (source / "segments").exists()
    segments = read_segments(source / "segments") if has_segments else {}
    has_speakers = (source / "utt2spk").exists()
    speakers = read_table(source / "utt2spk") if has_speakers else {key: key for key in texts}
    first = {"segments": segments} if has_segments else {"wav.scp": entries}
    require_same_ids({**first, "text": texts, "utt2spk": speakers}, source)
    for utterance, segment in segments.items():
        if segment.recording not in entries:
            raise TableError(f"{source}/segments: {utterance}: no {segment.recording} in wav.scp")
    return entries, segments, texts, speakers


def _where(utterance: str, entries: dict[str, str], segments: dict[str, Segment]) -> tuple[str, Segment | None]:
    segment = segments.get(utterance)
    return entries[segment.recording if segment else utterance], segment


def _fingerprint(entry: str, segment: Segment | None, speed: float, config: PrepareConfig) -> str:
    """Eight digits that change with the source file and with everything that is done to it.

    They stand in the file's name, so that a rerun never takes up what was made of something else.
    """
    path = Path(entry)
    source = path.stat() if path.exists() else None
    seen = (source.st_mtime_ns, source.st_size) if source else ()
    made = repr((entry, seen, segment, speed, config.hz, config.pad_s))
    return hashlib.sha256(made.encode()).hexdigest()[:8]


def _write_cut(cut: Cut, config: PrepareConfig) -> int:
    """Write one utterance; returns its samples, from the file where a run before had written it."""
    if cut.output.exists():
        return soundfile.info(cut.output).frames
    wav, hz = read_audio(cut.entry, config.hz)
    if cut.segment is not None:
        start, end = round(cut.segment.start_s * hz), round(cut.segment.end_s * hz)
        if end > len(wav) + hz // 10:
            raise AudioError(
                f"{cut.entry}: {len(wav) / hz:.2f} s long, but {cut.utterance} ends at"
                f" {cut.segment.end_s:g} s; mend segments"
            )
        wav = wav[start:end]
    if not wav.any():
        raise AudioError(f"{cut.entry}: {cut.utterance} is all silence; remove it from the directory")
    wav = _pad(change_speed(wav, cut.speed, hz), hz, config.pad_s, cut.utterance)
    write_wav(cut.output, wav, hz)
    return len(wav)


def _pad(wav: Wav, hz: int, pad_s: tuple[float, float], key: str) -> Wav:
    before, behind = (round(pad * hz) for pad in pad_s)
    if not before and not behind:
        return wav
    rng = np.random.default_rng(list(key.encode()))
    noise = coloured_noise(before + len(wav) + behind, 1.0, rng) * np.float32(_PAD_LEVEL)
    noise[before : before + len(wav)] = wav
    return noise
