"""Measures of one scene, by the rules of Full-Duplex-Bench 1.0 and 1.5 on the level of the sound.

takeover    the system speaks for a second, or with more than three words, in the user's turn (`pause`), after it
            (`turn`), or anew after the beginning of the sound over its answer
response_s  from the end of what asks for an answer to where the system begins; 0 if it began before
overlapped  the system was speaking when that sound began; what follows is of these scenes alone
ended       its answer was over before it could have been stopped: nothing is known of that
stop_s      from the beginning of the sound to where the system fell silent, if it did not end by itself
overlap_s   how long both sounded: the stop latency of get_timing.py of 1.5
paused_s    how long it was silent in between where it spoke on, as an answer that pauses while somebody speaks
behaviour   `respond`: it speaks anew after the sound's beginning; `resume`: it spoke on past the sound, or to its own
            end; `silent`: it stopped and said no more
backchannels, user_s    utterances shorter than a second in the user's turn, and that turn's seconds
jsd         Jensen-Shannon distance of when they come and when human listeners' do
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from freeze_omni.eval.duplex.scene import Output, Said, ScriptedScene
from freeze_omni.eval.outputs import Span, clipped

TURN_S = 1.0
TURN_WORDS = 3
REACT_S = 1.6  # after a sound, before a system counts as having spoken on
_WINDOW_S = 0.2
_SLACK_S = 0.3


@dataclass(frozen=True)
class Outcome:
    """One scene's measures; see the top of this file."""

    id: str
    kind: str
    takeover: bool
    responded: bool | None = None
    response_s: float | None = None
    overlapped: bool | None = None
    ended: bool | None = None
    stop_s: float | None = None
    overlap_s: float | None = None
    behaviour: str | None = None
    paused_s: float | None = None
    backchannels: int = 0
    user_s: float = 0.0
    jsd: float | None = None


def measure(scene: ScriptedScene, output: Output) -> Outcome:
    turn, end_s = scene.turn, max(output.seconds, scene.seconds)
    short = [span for span in output.speech if turn.start_s <= span[0] < turn.end_s and span[1] - span[0] < TURN_S]
    common: dict[str, Any] = {
        "id": scene.id,
        "kind": scene.kind,
        "backchannels": len(short),
        "user_s": round(turn.end_s - turn.start_s, 3),
        "jsd": distance(short, scene.backchannels, output.seconds),
    }
    if scene.kind in ("turn", "pause"):
        after = clipped(output.speech, turn.end_s, end_s)
        within = clipped(output.speech, turn.start_s, turn.end_s)
        responded = takes(after, output)
        return Outcome(
            takeover=takes(within, output) if scene.kind == "pause" else responded,
            responded=responded,
            response_s=_latency(after, turn.end_s) if responded else None,
            **common,
        )
    if scene.event is None:
        return Outcome(**common, **_over_itself(scene, output))
    return Outcome(**common, **_over_answer(scene.event, output))


def takes(spans: Sequence[Span], output: Output) -> bool:
    """Whether the spans make a turn: a second long, or more than three words."""
    if not spans:
        return False
    start_s, end_s = spans[0][0], spans[-1][1]
    if output.words is None:
        return end_s - start_s >= TURN_S
    said = [(start, end) for _, start, end in output.words if start_s <= (start + end) / 2 <= end_s]
    return bool(said) and (len(said) > TURN_WORDS or said[-1][1] - said[0][0] >= TURN_S)


def distance(spans: Sequence[Span], human: Sequence[float], seconds: float) -> float | None:
    """Jensen-Shannon distance (natural logarithm, 0 to 0.833) of two distributions over the scene; 1 for no spans.

    human: shares of equal parts; None without them.
    """
    if not human:
        return None
    if not spans:
        return 1.0
    counts = np.full(int(seconds / _WINDOW_S) + 1, 1e-10)
    for start_s, end_s in spans:
        counts[int(start_s / _WINDOW_S) : int(end_s / _WINDOW_S) + 1] += 1
    theirs = np.interp(np.linspace(0, 1, len(counts)), np.linspace(0, 1, len(human)), human)
    p, q = counts / counts.sum(), theirs / theirs.sum()
    middle = (p + q) / 2
    halves = [np.sum(np.where(one > 0, one * np.log(np.maximum(one, 1e-300) / middle), 0)) for one in (p, q)]
    return round(float(np.sqrt(max(sum(halves) / 2, 0))), 4)


def _over_answer(event: Said, output: Output) -> dict[str, Any]:
    """Measures of a sound that comes while the system speaks, or was meant to."""
    anew = [span for span in output.speech if span[0] > event.start_s]
    responded = takes(anew, output)
    found: dict[str, Any] = {"takeover": responded}
    if event.expect == "stop" and responded:
        found["response_s"] = _latency(anew, event.end_s)
    cut = next((span for span in output.speech if span[0] <= event.start_s < span[1]), None)
    if cut is None:
        return found | {"overlapped": False}
    fell_silent = cut[1] < event.end_s + REACT_S
    ended = fell_silent and next((own for at_s, own in output.ends if at_s >= cut[1] - _SLACK_S), False)
    stopped = fell_silent and not ended
    found |= {"overlapped": True, "overlap_s": round(min(cut[1], event.end_s) - event.start_s, 3), "ended": ended}
    found["stop_s"] = round(cut[1] - event.start_s, 3) if stopped else None
    found["behaviour"] = "respond" if responded else "silent" if stopped else "resume"
    if found["behaviour"] == "resume":
        found["paused_s"] = round(sum(end - start for start, end in output.pauses if end > event.start_s), 3)
    return found


def _over_itself(scene: ScriptedScene, output: Output) -> dict[str, Any]:
    """Measures of a scene with echo: all that follows the first answer is said to itself."""
    after = [span for span in output.speech if span[1] > scene.turn.end_s]  # the answer, and what is said anew
    responded = takes(after[1:], output)
    behaviour = "respond" if responded else "resume"
    return {"takeover": responded, "overlapped": bool(after), "behaviour": behaviour if after else None}


def _latency(spans: Sequence[Span], end_s: float) -> float:
    return round(max(spans[0][0] - end_s, 0.0), 3)
