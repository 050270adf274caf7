"""What a system did in a scene, as a folder: input.wav and output.wav in time with it, output.json, scene.json.

output.json has `events` ([{"time_s", "event", ...}]) of systems that report them, and the recogniser's `text` and
`chunks` in Full-Duplex-Bench's form. scene.json is the scene with its waiting sound where it was played. Of another
system output.wav is enough.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from freeze_omni.data.audio import read_audio, write_wav
from freeze_omni.data.tables import TableError, write_lines
from freeze_omni.eval.duplex.scene import ScriptedScene, read_scene, write_scene
from freeze_omni.eval.segments import MERGE_S, Span, speech_segments

Event = Mapping[str, Any]
OWN_ENDS = ("done", "length")


@dataclass(frozen=True)
class Output:
    """speech: where the system speaks. ends: when an answer was over and whether by itself, if it reported that. words:
    with their times, None if not transcribed.
    """

    seconds: float
    speech: list[Span]
    ends: list[tuple[float, bool]] = field(default_factory=list)
    words: list[tuple[str, float, float]] | None = None


def write_output(
    folder: Path,
    scene: ScriptedScene,
    heard: tuple[np.ndarray, int],
    said: tuple[np.ndarray, int],
    events: Sequence[Event],
) -> None:
    """One scene's folder. heard, said: samples (S,) and their rate, of the input and of the system."""
    write_wav(folder / "input.wav", *heard)
    write_wav(folder / "output.wav", *said)
    write_json(folder / "output.json", {"events": list(events)})
    write_scene(folder / "scene.json", scene)


def read_output(folder: Path, planned: ScriptedScene) -> tuple[ScriptedScene, Output]:
    """The scene as it was played, or as planned if that was not recorded, and what the system said.

    Raises TableError, AudioError.
    """
    path = folder / "scene.json"
    scene = read_scene(path) if path.is_file() else planned
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
    words = (
        [(chunk["text"], *map(float, chunk["timestamp"])) for chunk in content["chunks"]]
        if "chunks" in content
        else None
    )
    return scene, Output(len(wav) / hz, speech_segments(wav, hz, merge_s, begins_s), ends, words)


def read_json(path: Path) -> dict[str, Any]:
    """output.json; empty if missing. Raises TableError for another form."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for event in content.get("events", []):
            float(event["time_s"]), event["event"], event["event"] != "ended" or event["reason"]
        for chunk in content.get("chunks", []):
            chunk["text"], tuple(map(float, chunk["timestamp"]))[1]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        form = "{events: [{time_s, event}], text, chunks: [{text, timestamp: [start, end]}]}"
        raise TableError(f"{path}: not {form} ({error!r}); write it again or remove it") from None
    return content


def write_json(path: Path, content: object) -> None:
    write_lines(path, [json.dumps(content, ensure_ascii=False, indent=1)])
