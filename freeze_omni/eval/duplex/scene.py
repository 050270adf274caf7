"""Scripted scenes of two voices, and the folder of a set of scenes: scenes.jsonl, and <id>/ with their sound.

<id>/input.wav is the user's side as planned. If a sound waits for the system to speak, <id>/bed.wav is the user's side
without it, and <id>/event.wav is that sound alone. All are 16 kHz.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from freeze_omni.config import ConfigError, as_mapping, build
from freeze_omni.data.audio_header import AudioError, read_header
from freeze_omni.data.tables import TableError, write_lines
from freeze_omni.eval.sets import json_lines
from freeze_omni.rates import Rates

KINDS = ("turn", "pause", "interruption", "backchannel", "side", "background", "noise", "echo")
OVER_ANSWER = ("interruption", "backchannel", "side", "background", "noise")  # a sound while the system speaks
EXPECTED = ("respond", "stop", "go_on")
FILE = "scenes.jsonl"
_ROUND_S = 0.01


@dataclass(frozen=True)
class Said:
    """Something that sounds on the user's side, in seconds of the scene.

    what: `turn` or one of OVER_ANSWER. expect of the system: `respond` to it, `stop` and respond to it, `go_on` as if
    it had not sounded. pauses: silences inside.
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


def write_scene(path: Path, scene: ScriptedScene) -> None:
    """One scene as a file, next to what a system did in it."""
    write_lines(path, [_line(scene)])


def read_scene(path: Path) -> ScriptedScene:
    """Raises TableError."""
    return read_lines(path)[0]


def write_scenes(folder: Path, scenes: Iterable[ScriptedScene]) -> None:
    """scenes.jsonl, sorted by id."""
    write_lines(folder / FILE, map(_line, sorted(scenes, key=lambda scene: scene.id)))


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


def _line(scene: ScriptedScene) -> str:
    return json.dumps(as_mapping(scene), ensure_ascii=False)
