"""Turn taking from the decisions of the state head, on scenes with a known time line.

Every stretch of the user's side (a segment, its inner pauses included) is judged on its own; a chunk decides 1 or 2
where that state's probability passes the threshold, as in a session.

take            share of complete turns that were decided 1 between `early_s` before their end and `late_s` behind it,
                and not earlier
false pause     share of complete turns with a pause inside, and of turns that break off, that were decided 1 before
                their end (a turn that breaks off has none before the next segment)
false other     share of backchannels, noises and side talks that were decided 1, up to `late_s` behind them
delay           seconds from the end of a taken turn to the end of the chunk with the decision
f1              of every state over the labelled chunks, each chunk by itself, the likeliest state taken
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from freeze_omni.duplex.labels import Segment
from freeze_omni.duplex.state_head import ANSWER, IGNORE, NO_LABEL, STATES
from freeze_omni.eval.bootstrap import share_of
from freeze_omni.eval.percentiles import summarise
from freeze_omni.session.reducer import decide

Probabilities = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Scene:
    """What should happen, and what the model said.

    segments: the time line. paused: for each segment, whether a pause lies inside. labels: state of every
    chunk, -1 without label. probabilities: of the states 0, 1, 2 at every chunk.
    """

    key: str
    segments: Sequence[Segment]
    paused: Sequence[bool]
    labels: Sequence[int]
    probabilities: Probabilities


@dataclass(frozen=True)
class TakeRule:
    """When a decision counts as taking the turn; see the head of this file."""

    chunk_s: float = 0.16
    threshold: float = 0.5
    early_s: float = 0.16
    late_s: float = 1.6


def decision_times(
    probabilities: Probabilities, state: int, rule: TakeRule, start_s: float, end_s: float
) -> list[float]:
    """Ends, in seconds, of the chunks in (start_s, end_s] that decide `state`."""
    times = ((index + 1) * rule.chunk_s for index in range(len(probabilities)))
    return [
        time_s
        for time_s, said in zip(times, probabilities, strict=True)
        if start_s < time_s <= end_s and decide(tuple(said), rule.threshold) == state
    ]


def score_scenes(scenes: Iterable[Scene], rule: TakeRule | None = None) -> dict[str, Any]:
    """All measures over the scenes; a share over nothing is None."""
    rule, scenes = rule or TakeRule(), list(scenes)
    takes: list[bool] = []
    dropped: list[bool] = []
    pauses: list[bool] = []
    delays: list[float] = []
    others: dict[str, list[bool]] = {}
    for scene, segment, paused, limit_s in _segments(scenes):
        said, start_s, end_s = scene.probabilities, segment.start_s, segment.end_s
        late_s = min(limit_s, end_s + rule.late_s)
        if segment.kind == "complete":
            early = decision_times(said, ANSWER, rule, start_s, end_s - rule.early_s)
            timely = decision_times(said, ANSWER, rule, end_s - rule.early_s, late_s)
            takes.append(bool(timely) and not early)
            dropped.append(bool(decision_times(said, IGNORE, rule, start_s, late_s)))
            delays += [timely[0] - end_s] if takes[-1] else []
            pauses += [bool(early)] if paused else []
        elif segment.kind == "cutoff":
            pauses.append(bool(decision_times(said, ANSWER, rule, start_s, limit_s)))
        else:
            hit = decision_times(said, ANSWER, rule, start_s, late_s)
            others.setdefault(segment.kind, []).append(bool(hit))
    return {
        "take": share_of(takes),
        "turns_dropped": share_of(dropped),
        "false_pause": share_of(pauses),
        "false_other": share_of([hit for hits in others.values() for hit in hits]),
        "false_other_by_kind": {kind: share_of(hits) for kind, hits in sorted(others.items())},
        "delay_s": summarise(delays),
        "f1": state_f1(scenes),
        "scenes": len(scenes),
    }


def state_f1(scenes: Iterable[Scene]) -> dict[str, dict[str, float | int]]:
    """Precision, recall and F1 of each state over labelled chunks."""
    pairs = [
        (label, max(range(STATES), key=lambda state: said[state]))
        for scene in scenes
        for label, said in zip(scene.labels, scene.probabilities, strict=False)
        if label != NO_LABEL
    ]
    result: dict[str, dict[str, float | int]] = {}
    for state in range(STATES):
        hits = sum(label == guess == state for label, guess in pairs)
        labelled = sum(label == state for label, _ in pairs)
        guessed = sum(guess == state for _, guess in pairs)
        result[str(state)] = {
            "precision": round(hits / guessed, 4) if guessed else 0.0,
            "recall": round(hits / labelled, 4) if labelled else 0.0,
            "f1": round(2 * hits / (labelled + guessed), 4) if labelled + guessed else 0.0,
            "chunks": labelled,
        }
    return result


def _segments(scenes: Iterable[Scene]) -> Iterator[tuple[Scene, Segment, bool, float]]:
    """Every segment, whether it has a pause, and where the next one starts (infinity for the last)."""
    for scene in scenes:
        for segment, paused in zip(scene.segments, scene.paused, strict=True):
            later = [other.start_s for other in scene.segments if other.start_s > segment.start_s]
            yield scene, segment, paused, max(segment.end_s, min(later, default=float("inf")))
