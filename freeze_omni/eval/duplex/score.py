"""A set of scenes in figures: shares and seconds by kind, with counts and 95 % bootstrap intervals over scenes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from freeze_omni.data.tables import TableError
from freeze_omni.eval.bootstrap import ratio_interval, share_of
from freeze_omni.eval.duplex.measures import Outcome, measure
from freeze_omni.eval.duplex.outputs import read_output
from freeze_omni.eval.duplex.scene import KINDS, Scene
from freeze_omni.eval.percentiles import summarise
from freeze_omni.eval.tables import MISSING, number, share, summary

WANTED = {"turn": "high", "interruption": "high"}  # of takeover; of all others low
HEAD = (
    "scenes of",
    "takeover %",
    "wanted",
    "response s",
    "talked over",
    "stopped %",
    "stop s",
    "respond %",
    "resume %",
)
NOTES = (
    "shares: percent (95 % bootstrap interval over scenes), count; seconds: average / 50 % / 90 %",
    "the rules are Full-Duplex-Bench's 1.0 and 1.5, on the sound's level (docs/duplex_evaluation.md)",
)


def score_outputs(outputs: Path, scenes: Sequence[Scene]) -> dict[str, Any]:
    """Figures of a folder with a folder for each scene. Raises TableError where no scene has one."""
    there = [scene for scene in scenes if (outputs / scene.id / "output.wav").is_file()]
    if not there:
        raise TableError(f"{outputs}: no <id>/output.wav in it for any scene, as {scenes[0].id}/output.wav")
    found = summarise_outcomes(measure(*read_output(outputs / scene.id, scene)) for scene in there)
    return found | {"missing": sorted({scene.id for scene in scenes} - {scene.id for scene in there})}


def summarise_outcomes(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Figures by kind; backchannels over all turns of the user."""
    outcomes = list(outcomes)
    by_kind = {kind: [one for one in outcomes if one.kind == kind] for kind in KINDS}
    turns = [one for one in outcomes if one.kind in ("turn", "pause")]
    return {
        "scenes": len(outcomes),
        "kinds": {kind: _figures(kind, ones) for kind, ones in by_kind.items() if ones},
        "backchannels": {
            "per_s": _mean([one.backchannels for one in turns], [one.user_s for one in turns]),
            "jsd": _mean([one.jsd for one in turns if one.jsd is not None]),
        },
    }


def scene_rows(figures: Mapping[str, Any]) -> list[list[str]]:
    """The table's lines, one a kind; columns as HEAD has them."""
    return [
        [
            kind,
            share(found["takeover"]),
            WANTED.get(kind, "low"),
            summary(found["response_s"], 2),
            MISSING if found["overlapped"]["share"] is None else f"{found['overlapped']['hits']} of {found['scenes']}",
            share(found["stopped"]),
            summary(found["stop_s"], 2),
            share(found["respond"]),
            share(found["resume"]),
        ]
        for kind, found in figures["kinds"].items()
    ]


def backchannel_line(figures: Mapping[str, Any]) -> list[str]:
    """How often the system says "uh-huh" in the user's turns; nothing where no scene is for that."""
    found = figures["backchannels"]
    if found["per_s"]["mean"] is None:
        return []
    rate = f"backchannels of the system: {number(found['per_s']['mean'], 3)} a second of the user's turns"
    return [rate + (f", JSD {number(found['jsd']['mean'], 3)}" if found["jsd"]["count"] else "")]


def clock_line(figures: Mapping[str, Any]) -> list[str]:
    """What the times of an offline run rest on; nothing for other runs."""
    if "pace" not in figures:
        return []
    if figures["pace"] == 0:
        return ["the model's work took no time on the scenes' clock: latencies are those of its decisions alone"]
    return [f"the model's work took {figures['pace']:g} times as long on the scenes' clock as on this machine"]


def _figures(kind: str, ones: Sequence[Outcome]) -> dict[str, Any]:
    over = [one for one in ones if one.overlapped]
    waited = [one for one in ones if one.overlapped is not None]
    answered = [one.responded for one in ones if one.responded is not None]
    # an answer that was over by itself could not be stopped; of what stops by an echo, sound alone does not tell
    stops = [] if kind == "echo" else [one for one in over if not one.ended]
    return {
        "scenes": len(ones),
        "takeover": share_of([one.takeover for one in ones]),
        "overlapped": share_of([one.overlapped for one in waited]) | {"hits": len(over)},
        "stopped": share_of([one.stop_s is not None for one in stops]),
        "respond": share_of(answered or [one.behaviour == "respond" for one in over]),
        "resume": share_of([one.behaviour == "resume" for one in over]),
        "response_s": _seconds([one.response_s for one in ones]),
        "stop_s": _seconds([one.stop_s for one in ones]),
        "overlap_s": _seconds([one.overlap_s for one in ones]),
    }


def _seconds(values: Iterable[float | None]) -> dict[str, Any]:
    """Average with its interval, median and 90 % of the values that there are."""
    there = [value for value in values if value is not None]
    low, high = ratio_interval(there) if there else (None, None)
    return summarise(there) | {"low": low and round(low, 3), "high": high and round(high, 3)}


def _mean(values: Sequence[float], over: Sequence[float] | None = None) -> dict[str, Any]:
    if not values or over is not None and not sum(over):
        return {"mean": None, "low": None, "high": None, "count": 0}
    low, high = ratio_interval(values, over)
    mean = sum(values) / (sum(over) if over is not None else len(values))
    return {"mean": round(mean, 4), "low": round(low, 4), "high": round(high, 4), "count": len(values)}
