"""Turn taking from the decisions of the state head, on scenes with a known time line.

A scene is one user turn. Of all its chunks the first whose state is not 0 is the decision, as in a session.

take            share of turns to be answered that were: decided 1 from `early_s` before their end to `late_s` behind it
false pause     share of turns with a pause inside, or cut off, that were decided 1 before their end
false other     share of backchannels, noises and side talks that were decided 1 at all
delay           seconds from the end of a taken turn to the end of the chunk with the decision
f1              of every state over the labelled chunks, each chunk by itself
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from freeze_omni.eval.bootstrap import ratio_interval
from freeze_omni.eval.percentiles import summarise

NO_LABEL = -1


@dataclass(frozen=True)
class Scene:
    """What should happen, and what the model said.

    Attributes:
        role: `turn` (to be answered), `cutoff` (never ends) or `other` (not for the system).
        kind: the scene's own name, for the breakdown.
        end_s: when the turn is complete; None where it never is.
        paused: a pause lies inside the turn.
        labels: state of every chunk, -1 without label.
        probabilities: of the states 0, 1, 2 at every chunk.
    """

    key: str
    role: Literal["turn", "cutoff", "other"]
    kind: str
    end_s: float | None
    paused: bool
    labels: Sequence[int]
    probabilities: Sequence[Sequence[float]]


@dataclass(frozen=True)
class TakeRule:
    """When a decision counts as taking the turn; see the head of this file."""

    chunk_s: float = 0.16
    threshold: float = 0.5
    early_s: float = 0.16
    late_s: float = 2.0


def first_decision(scene: Scene, rule: TakeRule) -> tuple[int, float] | None:
    """(state, seconds) of the first chunk that is decided 1 or 2, at the chunk's end; None if there is none."""
    from freeze_omni.session.reducer import decide

    for index, probabilities in enumerate(scene.probabilities):
        state = decide(tuple(probabilities), rule.threshold)
        if state:
            return state, (index + 1) * rule.chunk_s
    return None


def score_scenes(scenes: Iterable[Scene], rule: TakeRule = TakeRule()) -> dict[str, Any]:
    """All measures over the scenes; a share over no scene is None."""
    takes: list[bool] = []
    pauses: list[bool] = []
    others: dict[str, list[bool]] = {}
    delays: list[float] = []
    dropped: list[bool] = []
    scenes = list(scenes)
    for scene in scenes:
        decision = first_decision(scene, rule)
        state, time_s = decision or (0, float("inf"))
        if scene.role == "other":
            others.setdefault(scene.kind, []).append(state == 1)
            continue
        early = time_s < _end(scene) - rule.early_s
        if scene.paused or scene.role == "cutoff":
            pauses.append(state == 1 and early)
        if scene.role == "turn":
            taken = state == 1 and not early and time_s <= _end(scene) + rule.late_s
            takes.append(taken)
            dropped.append(state == 2)
            delays += [time_s - _end(scene)] if taken else []
    return {
        "take": _share(takes),
        "false_pause": _share(pauses),
        "false_other": _share([hit for hits in others.values() for hit in hits]),
        "false_other_by_kind": {kind: _share(hits) for kind, hits in sorted(others.items())},
        "turns_dropped": _share(dropped),
        "delay_s": summarise(delays),
        "f1": state_f1(scenes),
        "scenes": len(scenes),
    }


def state_f1(scenes: Iterable[Scene]) -> dict[str, dict[str, float | int]]:
    """Precision, recall and F1 of each state over labelled chunks, the likeliest state taken."""
    pairs = [
        (label, max(range(3), key=lambda state: probabilities[state]))
        for scene in scenes
        for label, probabilities in zip(scene.labels, scene.probabilities)
        if label != NO_LABEL
    ]
    result: dict[str, dict[str, float | int]] = {}
    for state in range(3):
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


def _end(scene: Scene) -> float:
    return float("inf") if scene.end_s is None else scene.end_s


def _share(hits: Sequence[bool]) -> dict[str, float | int | None]:
    if not hits:
        return {"share": None, "low": None, "high": None, "count": 0}
    low, high = ratio_interval([float(hit) for hit in hits])
    return {
        "share": round(sum(hits) / len(hits), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "count": len(hits),
    }
