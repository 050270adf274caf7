"""Scripted scenes of two voices, and what a system did in them.

A set of scenes is a folder: scenes.jsonl, and <id>/ with their sound at 16 kHz. <id>/input.wav is the user's side as
planned. If a sound waits for the system to speak, bed.wav is the user's side without it, and event.wav that sound.

The output of a system is a folder for each scene: input.wav and output.wav in time with it, output.json with `events`
([{"time_s", "event", ...}]), if it reports them, and the recogniser's `text` and `chunks` in Full-Duplex-Bench's form,
and scene.json, with the waiting sound where it was played. Of another system output.wav is enough.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from freeze_omni.config import ConfigError, as_mapping, build
from freeze_omni.data import tables
from freeze_omni.data.audio import AudioError, read_audio, read_header, write_wav
from freeze_omni.data.ids import id_fault
from freeze_omni.data.tables import TableError, write_jsonl
from freeze_omni.eval.outputs import MERGE_S, Span, speech_segments
from freeze_omni.eval.sets import json_lines, write_json
from freeze_omni.rates import Rates

KINDS = ("turn", "pause", "interruption", "backchannel", "side", "background", "noise", "echo", "wait")
OVER_ANSWER = ("interruption", "backchannel", "side", "background", "noise", "wait")  # a sound while the system speaks
EXPECTED = ("respond", "stop", "go_on", "wait")
FILE = "scenes.jsonl"
_ROUND_S = 0.01


@dataclass(frozen=True)
class Said:
    """A sound of the user's side, in seconds of the scene. what: `turn` or one of OVER_ANSWER. pauses: inside it.

    expect of the system: `respond` to it, `stop` and respond to it, `go_on` as if it had not sounded, `wait`: stop
    and say no more.
    """

    what: str
    start_s: float
    end_s: float
    expect: str
    text: str = ""
    pauses: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Echo:
    """The system's voice comes back into its input, `delay_s` later and at `level_db` (< 0) of its level."""

    delay_s: float
    level_db: float


@dataclass(frozen=True)
class ScriptedScene:
    """said: in order, the turn first.

    into_answer_s: the last of `said` waits until the system has spoken for this long; it comes at its start_s if the
    system is silent until then. backchannels: where human listeners say "uh-huh", shares of equal parts of the scene.
    """

    id: str
    kind: str
    seconds: float
    said: tuple[Said, ...]
    into_answer_s: float | None = None
    echo: Echo | None = None
    backchannels: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if fault := id_fault(self.id):
            raise ValueError(f"id {self.id!r}: {fault}")
        if self.kind not in KINDS:
            raise ValueError(f"kind '{self.kind}' is none of {', '.join(KINDS)}")
        if not self.said or self.said[0].what != "turn":
            raise ValueError("`said` begins with a turn of the user")
        if len(self.said) != 1 + (self.kind in OVER_ANSWER):
            raise ValueError(f"a scene of kind '{self.kind}' has {1 + (self.kind in OVER_ANSWER)} in `said`")
        if (self.kind == "echo") != (self.echo is not None):
            raise ValueError("`echo` belongs to scenes of kind 'echo', and to no others")
        for one in self.said:
            if one.expect not in EXPECTED:
                raise ValueError(f"expect '{one.expect}' is none of {', '.join(EXPECTED)}")
            if not 0 <= one.start_s < one.end_s <= self.seconds + _ROUND_S:
                raise ValueError(f"{one.what} from {one.start_s} s to {one.end_s} s in a scene of {self.seconds} s")

    @property
    def turn(self) -> Said:
        return self.said[0]

    @property
    def event(self) -> Said | None:
        """What sounds while the system speaks; None for other scenes."""
        return self.said[1] if len(self.said) > 1 else None


def write_scenes(folder: Path, scenes: Iterable[ScriptedScene]) -> None:
    write_jsonl(folder / FILE, map(as_mapping, sorted(scenes, key=lambda scene: scene.id)))


def read_scenes(folder: Path, sound: bool = True) -> list[ScriptedScene]:
    """All scenes of a folder. sound: check that of each, too. Raises TableError with file, line and fix."""
    scenes = read_lines(folder / FILE)
    for number, scene in enumerate(scenes, start=1) if sound else ():
        for name in ("input", *(["bed", "event"] if scene.into_answer_s is not None else [])):
            _check_sound(folder / scene.id / f"{name}.wav", f"{folder / FILE}:{number}", scene)
    return scenes


def read_lines(path: Path) -> list[ScriptedScene]:
    """Scenes, one a line. Raises TableError."""
    scenes: dict[str, ScriptedScene] = {}
    for where, row in json_lines(path, hint="compose scenes with `freeze-omni duplex-scenes`"):
        try:
            scene = build(ScriptedScene, row, where)
        except ConfigError as error:
            raise TableError(f"{error}; correct the line") from None
        if scene.id in scenes:
            raise TableError(f"{where}: the id {scene.id} comes twice; remove one line")
        scenes[scene.id] = scene
    if not scenes:
        raise TableError(f"{path}: empty; compose scenes with `freeze-omni duplex-scenes`")
    return list(scenes.values())


def _check_sound(path: Path, where: str, scene: ScriptedScene) -> None:
    fix = "compose the scenes again"
    try:
        header = read_header(path)
    except AudioError as error:
        raise TableError(f"{where}: {path}: {error}; {fix}") from None
    hz = Rates().input_hz
    if (header.rate_hz, header.channels) != (hz, 1):
        raise TableError(f"{where}: {path}: not {hz} Hz and one channel; {fix}")
    if path.name != "event.wav" and abs(header.samples / hz - scene.seconds) > _ROUND_S:
        raise TableError(f"{where}: {path}: {header.samples / hz:.2f} s, not the scene's {scene.seconds} s; {fix}")


Sound = tuple[np.ndarray, int]
OWN_ENDS = ("done", "length")


@dataclass(frozen=True)
class Output:
    """ends: when an answer was over and whether by itself, pauses: after which it went on, if reported. words: with
    times, None if not transcribed."""

    seconds: float
    speech: list[Span]
    ends: list[tuple[float, bool]] = field(default_factory=list)
    words: list[tuple[str, float, float]] | None = None
    pauses: list[Span] = field(default_factory=list)


def write_output(
    folder: Path, scene: ScriptedScene, heard: Sound, said: Sound, events: Sequence[Mapping[str, Any]]
) -> None:
    """One scene's folder. heard, said: samples (S,) and their rate, of the input and of the system."""
    write_wav(folder / "input.wav", *heard)
    write_wav(folder / "output.wav", *said)
    write_json(folder / "output.json", {"events": list(events)})
    write_jsonl(folder / "scene.json", [as_mapping(scene)])


def read_output(folder: Path, planned: ScriptedScene) -> tuple[ScriptedScene, Output]:
    """The scene as it was played, or as planned, and what the system said. Raises TableError, AudioError."""
    path = folder / "scene.json"
    scene = read_lines(path)[0] if path.is_file() else planned
    if (scene.id, scene.kind) != (planned.id, planned.kind):
        raise TableError(f"{path}:1: is of scene {scene.id}, not of {planned.id}; remove it or rename the folder")
    wav, hz = read_audio(str(folder / "output.wav"))
    content = read_json(folder / "output.json")
    events = content.get("events", [])
    begins_s = [event["time_s"] for event in events if event["event"] == "speaks"]
    # known beginnings of answers split speech; silence inside an answer, while its sound was late, does not
    merge_s = math.inf if begins_s else MERGE_S
    over = [event for event in events if event["event"] in ("stops", "ended")]
    ends = [(event["time_s"], event.get("reason") in OWN_ENDS) for event in over]
    turns = [event for event in events if event["event"] in ("pauses", "resumes", "stops")]
    pauses = [
        (one["time_s"], after["time_s"])
        for one, after in itertools.pairwise(turns)
        if (one["event"], after["event"]) == ("pauses", "resumes")
    ]
    chunks = content.get("chunks")
    words = None if chunks is None else [(one["text"], *map(float, one["timestamp"])) for one in chunks]
    return scene, Output(len(wav) / hz, speech_segments(wav, hz, merge_s, begins_s), ends, words, pauses)


def read_json(path: Path) -> dict[str, Any]:
    """output.json; empty if missing. Raises TableError for another form."""
    if not path.is_file():
        return {}
    try:
        content = tables.read_json(path)
        for event in content.get("events", []):
            float(event["time_s"]), event["event"], event["event"] != "ended" or event["reason"]
        for chunk in content.get("chunks", []):
            chunk["text"], tuple(map(float, chunk["timestamp"]))[1]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        form = "{events: [{time_s, event}], text, chunks: [{text, timestamp: [start, end]}]}"
        raise TableError(f"{path}: not {form} ({error!r}); write it again or remove it") from None
    return content
