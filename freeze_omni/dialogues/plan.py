"""Stage 4: spoken dialogues and duplex scenes from questions, recordings of them, and the frozen LLM.

Every set is a folder below the output: wav.scp (16 kHz, silence after the end included), text, utt2spk,
answer (the LLM's own), answer_wav.scp (24 kHz), states, scene (jsonl), utt2question, questions.jsonl, and history where
a turn is not the first of its dialogue. A scene without an answer is in none of the answer tables: those that ask
for none, and turns that `scenes` adds for their states alone.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from freeze_omni.data.audio import Wav, read_audio, trim_silence, write_wav
from freeze_omni.data.dialogue_config import SetConfig
from freeze_omni.data.questions.answers import LlmAnswer
from freeze_omni.data.questions.facts import Question, read_questions, write_questions
from freeze_omni.data.scenes import Scene, SceneMaker, babble_of
from freeze_omni.data.tables import TableError, read_table, write_lines, write_speakers, write_table
from freeze_omni.speech_decoder.normalise import spoken_english

_BABBLE_S = 20
_BABBLE_VOICES = 5


@dataclass(frozen=True)
class Recording:
    """One spoken sentence of a Kaldi directory."""

    utterance: str
    entry: str
    text: str
    speaker: str


@dataclass(frozen=True)
class Dialogue:
    """One utterance of a set before it is composed: which recording, as what, to which question, behind which
    (user text, answer) pairs.
    """

    id: str
    kind: str
    recording: Recording
    question: Question | None = None
    answer: str = ""
    history: tuple[tuple[str, str], ...] = ()


def read_recordings(folder: Path) -> list[Recording]:
    """Read a Kaldi directory. Raises TableError."""
    wavs, texts = read_table(folder / "wav.scp"), read_table(folder / "text")
    speakers = read_table(folder / "utt2spk")
    missing = [key for key in texts if key not in wavs or key not in speakers]
    if missing:
        raise TableError(f"{folder}: {missing[0]} is in text but not in wav.scp and utt2spk")
    return [Recording(key, wavs[key], text, speakers[key]) for key, text in texts.items()]


def spoken_answer(answer: LlmAnswer | None, longest_words: int) -> str:
    """The answer with numbers in words; "" where it did not end, is too long, or has several lines."""
    if answer is None:
        return ""
    text = " ".join(spoken_english(answer.text).split())
    if longest_words and (not answer.ended or len(text.split()) > longest_words or "\n" in answer.text):
        return ""
    return text


def plan_set(config: SetConfig, data: Path, answers: dict[str, LlmAnswer], rng: random.Random) -> list[Dialogue]:
    """Choose recordings, questions and kinds. Raises TableError where a source is missing or too small."""
    recordings = read_recordings(data / config.speech)
    asked = read_questions(data / config.qa / "questions.jsonl") if config.qa else []
    planned = _plan_questions(config, recordings, asked, answers, rng)
    if config.qa and not planned:
        raise TableError(f"{data / config.speech}: none of the questions of {config.qa} is spoken there")
    texts = {question.question for question in asked}
    turns = [r for r in recordings if r.text in texts]
    pools = {"complete": turns, "paused": turns, "cutoff": turns or recordings, "noise": recordings}
    if config.duplex:
        others = read_recordings(data / config.duplex)
        for kind in ("backchannel", "side"):
            pools[kind] = [r for r in others if r.utterance.startswith(f"{kind}-")]
    for kind, count in config.scenes.items():
        if count and not pools.get(kind):
            raise TableError(f"{data / (config.duplex or config.speech)}: no recordings for '{kind}' scenes")
        for number in range(count):
            planned.append(Dialogue(f"{kind}-{number:04d}", kind, rng.choice(pools[kind])))
    return planned


def _plan_questions(
    config: SetConfig,
    recordings: Sequence[Recording],
    asked: Sequence[Question],
    answers: dict[str, LlmAnswer],
    rng: random.Random,
) -> list[Dialogue]:
    spoken: dict[str, list[Recording]] = {}
    for recording in recordings:
        spoken.setdefault(recording.text, []).append(recording)
    usable = []
    for question in asked:
        answer = spoken_answer(answers.get(question.question), config.answer_words)
        if question.question in spoken and answer:
            usable.append((question, answer))
    if config.questions:
        rng.shuffle(usable)
        usable = usable[: config.questions]
    planned = []
    for question, answer in usable:
        takes = spoken[question.question]
        for number, take in enumerate(rng.sample(takes, min(config.recordings, len(takes)))):
            kind = "paused" if rng.random() < config.paused_share else "complete"
            key = question.id if config.recordings == 1 else f"{question.id}-{number}"
            planned.append(Dialogue(key, kind, take, question, answer))
    return planned


def write_dialogues(
    folder: Path,
    planned: Sequence[Dialogue],
    answer_wavs: dict[str, Path],
    maker: SceneMaker,
    seed: int,
) -> dict[str, int]:
    """Compose and write one set; returns the number of scenes by kind."""
    planned = sorted(planned, key=lambda dialogue: dialogue.id)
    babble = _babble([dialogue.recording for dialogue in planned], maker, seed)
    scenes: dict[str, Scene] = {}
    for dialogue in planned:
        rng = np.random.default_rng([seed, *dialogue.id.encode()])
        speech = trim_silence(read_audio(dialogue.recording.entry, maker.hz)[0], maker.hz, keep_s=0.0)
        scene = maker.make(dialogue.kind, speech, rng, babble)
        write_wav(folder / "wav" / f"{dialogue.id}.wav", scene.wav, maker.hz)
        scenes[dialogue.id] = scene
    _write_tables(folder, planned, scenes, answer_wavs)
    counts: dict[str, int] = {}
    for scene in scenes.values():
        counts[scene.kind] = counts.get(scene.kind, 0) + 1
    return counts


def _write_tables(
    folder: Path,
    planned: Sequence[Dialogue],
    scenes: dict[str, Scene],
    answer_wavs: dict[str, Path],
) -> None:
    wavs = {d.id: (folder / "wav" / f"{d.id}.wav").resolve() for d in planned}
    answered = [d for d in planned if d.question is not None]
    write_table(folder / "wav.scp", wavs)
    heard = {d.id: "" if d.kind == "noise" else d.recording.text for d in planned}
    write_table(folder / "text", heard)
    write_speakers(folder, {d.id: d.recording.speaker for d in planned})
    write_table(folder / "states", {key: " ".join(map(str, s.labels)) for key, s in scenes.items()})
    write_table(folder / "utt2num_samples", {key: len(s.wav) for key, s in scenes.items()})
    write_lines(folder / "scene", (_scene_line(key, scenes[key]) for key in sorted(scenes)))
    write_table(folder / "answer", {d.id: d.answer for d in answered})
    write_table(folder / "utt2question", {d.id: d.question.id for d in answered})
    later = {d.id: json.dumps(d.history, ensure_ascii=False) for d in answered if d.history}
    if later:
        write_table(folder / "history", later)
    else:  # of an earlier run with more rounds; 1.3 and 2.3 would read it
        (folder / "history").unlink(missing_ok=True)
    unique = {d.question.id: d.question for d in answered}
    write_questions(folder / "questions.jsonl", unique.values())
    spoken = {d.id: answer_wavs[d.answer] for d in answered if d.answer in answer_wavs}
    if spoken:
        write_table(folder / "answer_wav.scp", spoken)
    else:  # of an earlier run that spoke them
        (folder / "answer_wav.scp").unlink(missing_ok=True)


def _scene_line(key: str, scene: Scene) -> str:
    segments = [
        {name: round(value, 4) if name != "kind" else value for name, value in asdict(segment).items()}
        for segment in scene.segments
    ]
    pauses = [{"start_s": round(start, 4), "end_s": round(end, 4)} for start, end in scene.pauses]
    return json.dumps({"id": key, "kind": scene.kind, "segments": segments, "pauses": pauses})


def _babble(recordings: Sequence[Recording], maker: SceneMaker, seed: int) -> Wav:
    """Some voices of the set at once, one of each speaker first."""
    by_speaker = {recording.speaker: recording for recording in recordings}
    voices = [read_audio(r.entry, maker.hz)[0] for r in list(by_speaker.values())[:_BABBLE_VOICES]]
    return babble_of(voices, _BABBLE_S * maker.hz, np.random.default_rng(seed))
