"""Planned scenes become a data directory of the role `dialogue`.

wav.scp (16 kHz, silence after the end included), text, utt2spk, answer (the LLM's own), answer_wav.scp (24 kHz),
states, scene (jsonl), utt2question, questions.jsonl, and history for turns after the first of their dialogue. The
answer tables hold the scenes with an answer alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from freeze_omni.data.audio import Wav, read_audio, trim_silence, write_wav
from freeze_omni.data.questions import write_questions
from freeze_omni.data.tables import write_jsonl, write_speakers, write_table
from freeze_omni.dialogues.plan import PlannedScene
from freeze_omni.duplex.scenes import Scene, SceneMaker, babble_of

_BABBLE_S = 20
_BABBLE_VOICES = 5


def write_dialogues(
    folder: Path, planned: Sequence[PlannedScene], answer_wavs: dict[str, Path], maker: SceneMaker, seed: int
) -> dict[str, int]:
    """Compose and write one set; returns the number of scenes by kind."""
    planned = sorted(planned, key=lambda one: one.id)
    babble = _babble(planned, maker, seed)
    scenes: dict[str, Scene] = {}
    for one in planned:
        rng = np.random.default_rng([seed, *one.id.encode()])
        speech = trim_silence(read_audio(one.recording.audio, maker.hz)[0], maker.hz, keep_s=0.0)
        scenes[one.id] = maker.make(one.kind, speech, rng, babble)
        write_wav(folder / "wav" / f"{one.id}.wav", scenes[one.id].wav, maker.hz)
    _write_tables(folder, planned, scenes, answer_wavs)
    return dict(Counter(scene.kind for scene in scenes.values()))


def _write_tables(
    folder: Path, planned: Sequence[PlannedScene], scenes: dict[str, Scene], answer_wavs: dict[str, Path]
) -> None:
    answered = {one.id: one for one in planned if one.question is not None}
    write_table(folder / "wav.scp", {one.id: (folder / "wav" / f"{one.id}.wav").resolve() for one in planned})
    write_table(folder / "text", {one.id: "" if one.kind == "noise" else one.recording.text for one in planned})
    write_speakers(folder, {one.id: one.recording.speaker for one in planned})
    write_table(folder / "states", {key: " ".join(map(str, s.labels)) for key, s in scenes.items()})
    write_table(folder / "utt2num_samples", {key: len(s.wav) for key, s in scenes.items()})
    write_jsonl(folder / "scene", (_scene_row(key, scenes[key]) for key in sorted(scenes)))
    write_table(folder / "answer", {key: one.answer for key, one in answered.items()})
    write_table(folder / "utt2question", {key: one.question.id for key, one in answered.items()})
    write_questions(folder / "questions.jsonl", {one.question.id: one.question for one in answered.values()}.values())
    later = {key: json.dumps(one.history, ensure_ascii=False) for key, one in answered.items() if one.history}
    spoken = {key: answer_wavs[one.answer] for key, one in answered.items() if one.answer in answer_wavs}
    for name, table in (("history", later), ("answer_wav.scp", spoken)):
        if table:
            write_table(folder / name, table)
        else:  # of an earlier run with other settings; training would read it
            (folder / name).unlink(missing_ok=True)


def _scene_row(key: str, scene: Scene) -> dict[str, object]:
    segments = [
        {name: round(value, 4) if name != "kind" else value for name, value in asdict(segment).items()}
        for segment in scene.segments
    ]
    pauses = [{"start_s": round(start, 4), "end_s": round(end, 4)} for start, end in scene.pauses]
    return {"id": key, "kind": scene.kind, "segments": segments, "pauses": pauses}


def _babble(planned: Sequence[PlannedScene], maker: SceneMaker, seed: int) -> Wav:
    """Some voices of the set at once, each of another speaker."""
    by_speaker = {one.recording.speaker: one.recording.audio for one in planned}
    voices = [read_audio(entry, maker.hz)[0] for entry in list(by_speaker.values())[:_BABBLE_VOICES]]
    return babble_of(voices, _BABBLE_S * maker.hz, np.random.default_rng(seed))
