"""The outputs in Full-Duplex-Bench's folders, <task>/<id>/, for its own scripts.

input.wav and output.wav in time, output.json with words if transcribed, and what each task's script needs: pause.json,
turn_taking.json, interrupt.json (1.0), metadata.json (1.5). Noise and echo are no tasks there.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from freeze_omni.data.audio import read_audio, write_wav
from freeze_omni.eval.duplex.scene import ScriptedScene, read_json, read_lines
from freeze_omni.eval.judge import Word
from freeze_omni.eval.sets import write_json
from freeze_omni.eval.suites import full_duplex_bench
from freeze_omni.eval.suites.base import Item
from freeze_omni.eval.suites.full_duplex_bench import as_content
from freeze_omni.rates import Rates

TASKS = {
    "turn": "smooth_turn_taking",
    "pause": "pause_handling",
    "interruption": full_duplex_bench.INTERRUPTION,
    "backchannel": "user_backchannel",
    "side": "talking_to_other",
    "background": "background_speech",
}


def write_bench(folder: Path, data: Path, outputs: Path, scenes: Sequence[ScriptedScene]) -> list[str]:
    """Write and check the folders; returns the tasks. data: the folder of the scenes. Raises SuiteError, AudioError."""
    items = []
    for planned in scenes:
        own = outputs / planned.id
        if planned.kind not in TASKS or not (own / "output.wav").is_file():
            continue
        scene = read_lines(own / "scene.json")[0] if (own / "scene.json").is_file() else planned
        target = folder / TASKS[scene.kind] / scene.id
        # their pause task counts all speech as a takeover: it ends with the user's turn
        end_s = scene.turn.end_s if scene.kind == "pause" else scene.seconds
        begin_s = scene.said[-1].end_s if scene.kind == "interruption" else 0.0
        heard = own if (own / "input.wav").is_file() else data / scene.id
        _cut(heard / "input.wav", target / "input.wav", end_s, Rates().input_hz)
        _cut(own / "output.wav", target / "output.wav", end_s)
        _annotate(target, scene)
        output = read_json(own / "output.json")
        if "chunks" in output:
            words = [Word(chunk["text"], *map(float, chunk["timestamp"])) for chunk in output["chunks"]]
            write_json(target / "output.json", as_content([w for w in words if begin_s <= w.start_s < end_s]))
        name = f"{TASKS[scene.kind]}/{scene.id}"
        items.append(Item(name, str(target / "input.wav"), fields={"place": f"{name}/output"}))
    full_duplex_bench.check(folder, items)
    return sorted({item.id.split("/")[0] for item in items})


def _cut(source: Path, target: Path, end_s: float, hz: int | None = None) -> None:
    """A copy that is `end_s` long: cut, or padded with silence."""
    wav, hz = read_audio(str(source), hz)
    size = round(end_s * hz)
    write_wav(target, np.pad(wav[:size], (0, max(size - len(wav), 0))), hz)


def _annotate(target: Path, scene: ScriptedScene) -> None:
    turn, event = scene.turn, scene.said[-1]
    if scene.kind == "pause":
        write_json(target / "pause.json", [{"text": "[PAUSE]", "timestamp": list(pause)} for pause in turn.pauses])
    elif scene.kind == "turn":
        write_json(target / "turn_taking.json", [{"text": "[TURN-TAKING]", "timestamp": [turn.end_s, scene.seconds]}])
    else:
        span = [event.start_s, event.end_s]
        texts = {"context_text": turn.text, "current_turn_text": event.text}
        write_json(target / "metadata.json", {"id": scene.id, "task": TASKS[scene.kind], "timestamps": span, **texts})
    if scene.kind == "interruption":
        write_json(target / "interrupt.json", [{"context": turn.text, "interrupt": event.text, "timestamp": span}])
