"""How early speech may start: the rule of the first segment and the codec's chunks, against WER and first audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soxr

from freeze_omni.eval.bootstrap import summarise
from freeze_omni.eval.judge import RATE_HZ
from freeze_omni.eval.pictures import new_figure, save_figure
from freeze_omni.eval.question import VirtualClock
from freeze_omni.eval.report import number, rate, summary, table
from freeze_omni.eval.wer import error_rate
from freeze_omni.session import events as ev
from freeze_omni.session.answer import AnswerConfig, ChunkSchedule
from freeze_omni.session.session import SessionConfig, SpeechSession
from freeze_omni.system import FreezeOmni

SEGMENTS, CHUNKS = "segments", "chunks"
SLACK = 1.0
"""Percent points of WER above the best that an earlier start may cost."""
SILENCE_MS = 1.0
"""Silence inside an answer, on average, that an earlier start may cost: a break in a sentence is heard, a start some
tens of milliseconds earlier is not."""


class Listens(Protocol):
    """The judge, as far as it is needed."""

    def transcribe(self, clips: Mapping[str, np.ndarray]) -> dict[str, str]: ...


@dataclass(frozen=True)
class Setting:
    """sweep: `segments` or `chunks`, whichever is varied in `answers`."""

    sweep: str
    answers: AnswerConfig

    @property
    def name(self) -> str:
        if self.sweep == SEGMENTS:
            return f"first comma or {self.answers.segments.first_tokens} tokens"
        chunks = self.answers.chunks
        return f"{chunks.first} to {chunks.later} tokens, by {chunks.grows:g}"


@dataclass(frozen=True)
class Said:
    """An answer: its text, its sound (S,), when that began, and how long it was silent inside, in seconds."""

    text: str
    sound: np.ndarray
    first_audio_s: float | None
    gaps_s: float


def schedule(words: str) -> ChunkSchedule:
    """`FIRST,LATER` or `FIRST,LATER,GROWS`. Raises ValueError for anything else."""
    values = words.split(",")
    if len(values) not in (2, 3):
        raise ValueError(f"--chunks {words}: FIRST,LATER,GROWS are wanted, e.g. 8,24,1.5")
    return ChunkSchedule(int(values[0]), int(values[1]), *map(float, values[2:]))


def settings(own: AnswerConfig, first_tokens: Sequence[int], schedules: Sequence[ChunkSchedule]) -> list[Setting]:
    """One sweep for each; the model's own value of the other, and the model's own values among both.

    Raises ValueError for values that no segment or schedule can have.
    """
    found = []
    for size in sorted({*first_tokens, own.segments.first_tokens}):
        least = min(own.segments.min_tokens, size)
        segments = replace(own.segments, first_tokens=size, min_tokens=least)
        found.append(Setting(SEGMENTS, replace(own, segments=segments)))
    for chunks in sorted({*schedules, own.chunks}):
        found.append(Setting(CHUNKS, replace(own, chunks=chunks)))
    return found


def measure(
    model: FreezeOmni, questions: Mapping[str, str], setting: Setting, judge: Listens, seed: int, normaliser: str
) -> dict[str, Any]:
    """Ask each question (id to text) in writing, greedy, and let the judge read the spoken answers.

    wer: against the text that the LLM wrote. first_audio_ms: from the question to the first sound, on this machine,
    one user. gaps_ms: silence inside an answer that is played as it comes, on average.
    """
    generation = replace(setting.answers.generation, temperature=0.0)
    config = SessionConfig(answers=replace(setting.answers, generation=generation), seed=seed)
    said = {key: answer(model, question, config) for key, question in questions.items()}
    hz = model.rates.output_hz
    clips = {key: soxr.resample(one.sound, hz, RATE_HZ).astype(np.float32) for key, one in said.items()}
    heard = judge.transcribe(clips)
    segments, chunks = setting.answers.segments, setting.answers.chunks
    return {
        "sweep": setting.sweep,
        "name": setting.name,
        "segment_rule": segments.rule,
        "first_tokens": segments.first_tokens,
        "first_chunk": chunks.first,
        "later_chunks": chunks.later,
        "wer": error_rate({key: one.text for key, one in said.items()}, heard, normaliser).as_dict(),
        "first_audio_ms": summarise(
            (1000 * one.first_audio_s for one in said.values() if one.first_audio_s is not None), digits=1
        ),
        "gaps_ms": round(1000 * sum(one.gaps_s for one in said.values()) / len(said), 1),
        "audio_s": round(sum(len(one.sound) for one in said.values()) / hz, 1),
    }


def answer(model: FreezeOmni, question: str, config: SessionConfig) -> Said:
    """What a fresh session says to a typed question."""
    session, clock = SpeechSession(model, config), VirtualClock()
    texts, sounds = [], [np.zeros(0, dtype=np.float32)]
    first_s, ends_s, gaps_s = None, 0.0, 0.0
    actions = clock.run(session.handle, ev.TextInput(question))
    while True:
        for action in actions:
            if isinstance(action, ev.TextDelta):
                texts.append(action.text)
            elif isinstance(action, ev.PlayAudio):
                if first_s is None:
                    first_s = ends_s = clock.now_s
                gaps_s += max(0.0, clock.now_s - ends_s)
                ends_s = max(ends_s, clock.now_s) + len(action.samples) / model.rates.output_hz
                sounds.append(action.samples)
        if session.answering is None:
            return Said("".join(texts).strip(), np.concatenate(sounds), first_s, gaps_s)
        actions = clock.run(session.work)


def best(found: Sequence[Mapping[str, Any]], sweep: str, slack: float = SLACK) -> Mapping[str, Any]:
    """The setting of a sweep that speaks first (median) of those that read well and do not stop while they speak.

    Well: within `slack` of the sweep's best WER, in percent points. Where all stop for more than SILENCE_MS, those that
    are not silent for longer than the best of them count as well.
    """
    mine = [one for one in found if one["sweep"] == sweep and one["first_audio_ms"]["p50"] is not None]
    silence_ms = max(SILENCE_MS, min(one["gaps_ms"] for one in mine))
    flowing = [one for one in mine if one["gaps_ms"] <= silence_ms]
    least = min(one["wer"]["percent"] for one in flowing)
    return min(
        (one for one in flowing if one["wer"]["percent"] <= least + slack), key=lambda one: one["first_audio_ms"]["p50"]
    )


TITLES = {SEGMENTS: "first segment", CHUNKS: "codec chunks"}


def markdown(found: Sequence[Mapping[str, Any]], own: Mapping[str, Any], slack: float) -> list[str]:
    """A row for each setting. own: the model's `segments` and `chunks` by name. The chosen ones are bold."""
    chosen = {sweep: best(found, sweep, slack)["name"] for sweep in TITLES}
    rows = []
    for one in found:
        name = one["name"]
        shown = f"**{name}**" if chosen[one["sweep"]] == name else name
        note = " (the model's own)" if own[one["sweep"]] == name else ""
        cells = rate(one["wer"]), summary(one["first_audio_ms"]), number(one["gaps_ms"], 0)
        rows.append([TITLES[one["sweep"]], shown + note, *cells])
    head = ["varied", "setting", "WER %", "first audio, ms: average / 50 % / 90 %", "silence inside an answer, ms"]
    rule = (
        f"Bold: the earliest first audio (median) of those that are within {slack:g} percent points of the best WER "
        f"and silent inside an answer for {SILENCE_MS:g} ms at most."
    )
    return [*table(head, rows), rule]


def draw(found: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Median first audio against WER, a line for each sweep; a PNG."""
    figure, axes = new_figure(6, 4)
    for sweep, title in TITLES.items():
        points = [one for one in found if one["sweep"] == sweep and one["first_audio_ms"]["p50"] is not None]
        places = [(one["first_audio_ms"]["p50"], one["wer"]["percent"]) for one in points]
        axes.plot(*zip(*places, strict=True), marker="o", label=title)
        for one, place in zip(points, places, strict=True):
            axes.annotate(one["name"], place, fontsize=6, xytext=(3, 3), textcoords="offset points")
    axes.set(xlabel="first audio, median, ms", ylabel="WER %", ylim=(0, None))
    axes.legend(fontsize=8)
    return save_figure(figure, path)
