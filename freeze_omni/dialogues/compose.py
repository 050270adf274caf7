"""Scenes of a set, composed by shards: each sound is read, placed, written and forgotten, so that memory is flat.

A shard leaves a file with what the tables of its scenes need; a killed run goes on after the last one.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from freeze_omni.data.archives import file_of
from freeze_omni.data.audio import Wav, read_audio, trim_silence, write_wav
from freeze_omni.data.parts import WHOLE, Part
from freeze_omni.data.progress import parallel_map
from freeze_omni.data.tables import read_jsonl, write_jsonl
from freeze_omni.dialogues.plan import PlannedScene
from freeze_omni.duplex.scenes import Scene, SceneMaker, babble_of

SHARD_SCENES = 2000  # as long as a further process takes to start
_SHARDS = ".shards"  # in the folder of a set, until all sets are made
_BABBLE_S = 20
_BABBLE_VOICES = 5


@dataclass(frozen=True)
class Shard:
    """Scenes of a set that are composed at once; rows: the file of what its tables need."""

    rows: Path
    planned: tuple[PlannedScene, ...]


def compose(
    folder: Path, planned: Sequence[PlannedScene], maker: SceneMaker, seed: int, nj: int, part: Part = WHOLE
) -> Iterator[dict]:
    """Write wav/<id>.wav of each scene of the part, and played/<id>.wav where the system speaks meanwhile; yield, in
    order, its id, labels, samples, whether it has the second, and row of `scene`."""
    by_speaker = {one.recording.speaker: one.recording.audio for one in planned}
    voices = [read_audio(entry, maker.hz)[0] for entry in list(by_speaker.values())[:_BABBLE_VOICES]]
    babble = babble_of(voices, _BABBLE_S * maker.hz, np.random.default_rng(seed))
    parts = [tuple(planned[at : at + SHARD_SCENES]) for at in range(0, len(planned), SHARD_SCENES)]
    shards = [Shard(folder / _SHARDS / f"{number:05d}.jsonl", part) for number, part in enumerate(parts)]
    work = partial(_compose, folder=folder, maker=maker, babble=babble, seed=seed)
    for rows in parallel_map(work, part.of(shards), nj, f"composing shards of {folder}"):
        yield from (row for number, row in read_jsonl(rows) if number > 1)


def forget_shards(folder: Path) -> None:
    """After all sets are made: from then on only a change makes them again."""
    shutil.rmtree(folder / _SHARDS, ignore_errors=True)


def _compose(shard: Shard, folder: Path, maker: SceneMaker, babble: Wav, seed: int) -> Path:
    made_from, wavs = _made_from(shard, maker, babble, seed), [_wav(folder, one) for one in shard.planned]
    if shard.rows.exists() and next(read_jsonl(shard.rows))[1] == made_from and all(map(Path.exists, wavs)):
        return shard.rows
    rows = (_compose_one(one, folder, maker, babble, seed) for one in shard.planned)
    write_jsonl(shard.rows, [made_from, *rows])
    return shard.rows


def _compose_one(one: PlannedScene, folder: Path, maker: SceneMaker, babble: Wav, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, *one.id.encode()])
    speech = _without_silence(one.recording.audio, maker.hz)
    own = None if one.own is None else read_audio(one.own.audio, maker.hz)[0]
    filler = None if one.filler is None else _without_silence(one.filler.audio, maker.hz)
    scene = maker.make(one.kind, speech, rng, babble, own, filler)
    write_wav(_wav(folder, one), scene.wav, maker.hz)
    if scene.played is not None:
        write_wav(played_wav(folder, one.id), scene.played, maker.hz)
    row = {"id": one.id, "states": " ".join(map(str, scene.labels)), "samples": len(scene.wav)}
    return row | {"played": scene.played is not None, "scene": _scene_row(one.id, scene)}


def _without_silence(entry: str, hz: int) -> Wav:
    """The recording (S,) but for the silence around it."""
    return trim_silence(read_audio(entry, hz)[0], hz, keep_s=0.0)


def _wav(folder: Path, one: PlannedScene) -> Path:
    return folder / "wav" / f"{one.id}.wav"


def played_wav(folder: Path, key: str) -> Path:
    """What the system plays in a scene."""
    return folder / "played" / f"{key}.wav"


def _made_from(shard: Shard, maker: SceneMaker, babble: Wav, seed: int) -> str:
    """A digest of all that a shard's scenes depend on; sounds count by size and time."""
    sounds = [[some.audio for some in (one.recording, one.own, one.filler) if some] for one in shard.planned]
    scenes = [
        (one.id, one.kind, *((entry, _touched(entry)) for entry in entries))
        for one, entries in zip(shard.planned, sounds, strict=True)
    ]
    made_from = json.dumps([seed, repr(maker.config), repr(maker.rates), scenes])
    return hashlib.sha256(made_from.encode() + babble.tobytes()).hexdigest()


def _touched(entry: str) -> list[int]:
    place = file_of(entry)
    if place is None or not os.path.exists(place[0]):
        return []
    stat = os.stat(place[0])
    return [stat.st_size, stat.st_mtime_ns]


def _scene_row(key: str, scene: Scene) -> dict[str, object]:
    def times(start_s: float, end_s: float) -> dict[str, float]:
        return {"start_s": round(start_s, 4), "end_s": round(end_s, 4)}

    segments = [{"kind": one.kind, **times(one.start_s, one.end_s)} for one in scene.segments]
    return {"id": key, "kind": scene.kind, "segments": segments, "pauses": [times(*one) for one in scene.pauses]}
