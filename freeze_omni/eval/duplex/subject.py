"""Scripted scenes in closed loop (`freeze-omni eval duplex --scenes`): played to a system, and measured."""

import argparse
import hashlib
import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from freeze_omni.data.audio import read_audio
from freeze_omni.data.tables import TableError
from freeze_omni.eval import judge as judges
from freeze_omni.eval.bootstrap import (
    difference_of,
    mean_of,
    percentile_interval,
    ratio_interval,
    share_of,
    summarise,
)
from freeze_omni.eval.config import DecodeConfig
from freeze_omni.eval.duplex.baselines import Baseline, baseline
from freeze_omni.eval.duplex.bench import write_bench
from freeze_omni.eval.duplex.gated import GatedSession, best_detector
from freeze_omni.eval.duplex.measures import Outcome, measure
from freeze_omni.eval.duplex.play import Hearing, playing
from freeze_omni.eval.duplex.scene import FILE, KINDS, ScriptedScene, read_json, read_output, read_scenes
from freeze_omni.eval.outputs import speech_segments
from freeze_omni.eval.question import ask
from freeze_omni.eval.report import MISSING, Found, Report, Section, difference, number, share, summary, table
from freeze_omni.eval.runner import DecodeJob, Units, data_of, session_config
from freeze_omni.eval.sets import write_json
from freeze_omni.eval.suites.full_duplex_bench import as_content
from freeze_omni.session.ops import drive_together
from freeze_omni.session.reducer import TurnDetection
from freeze_omni.session.session import SpeechSession

TITLES = {"vad": "by VAD", "smart_turn": "by smart-turn"}  # of baselines
WANTED = {"turn": "high", "interruption": "high"}  # takeover; of all other kinds low
HEAD = "scenes of, takeover %, wanted, response s, talked over, stopped %, stop s, respond %, resume %".split(", ")
HEAD.append("paused s")
NOTES = (
    "shares: percent (95 % bootstrap interval over scenes), count; seconds: average / 50 % / 90 % (interval of that)",
    "the rules are Full-Duplex-Bench's 1.0 and 1.5, on the sound's level (docs/evaluation.md)",
)


def decode(job: DecodeJob) -> dict[str, dict[str, Any]]:
    """Write <id>/ for every scene of the folder `data` (see scene.py), and `text`, what the model said; next to the
    folder the same of the baselines that are configured and whose weights are here."""
    for name in job.config.duplex.baselines:
        if found := baseline(name):
            _decode(replace(job, output=_output_of(job.output, name)), *found)
        else:
            print(f"duplex by {name} was not played: no weights; run tools/installers/get_{name}.sh", file=sys.stderr)
    return _decode(job)


def _output_of(output: Path, baseline: str) -> Path:
    """The folder of a baseline, next to that of the model."""
    return output.with_name(f"{output.name}_{baseline}")


def _decode(job: DecodeJob, by: str = "", ends: Baseline | None = None) -> dict[str, dict[str, Any]]:
    """by: name of what `ends` the turns in place of the state head."""
    scenes, config = {scene.id: scene for scene in read_scenes(job.data)}, job.config.duplex
    script = hashlib.sha256((job.data / FILE).read_bytes()).hexdigest()

    def work(todo: Units) -> Iterator[list[dict[str, Any]]]:
        model = job.load()
        session, hz = session_config(job, model, config.max_new_tokens), model.rates.input_hz
        if ends is None:
            _, detector = best_detector()
            session = replace(session, gated=True, pauses=config.pauses)
        else:
            session = replace(session, turn_detection=TurnDetection.VAD)

        def opened() -> GatedSession:
            one = SpeechSession(model, session)
            return GatedSession(one, detector) if ends is None else ends(one)

        ask(model, Hearing.of(job.data, scenes[todo[0][0]], hz).heard[:hz], session, 0.0)  # first calls are slow
        for keys in todo:
            heard = {key: Hearing.of(job.data, scenes[key], hz) for key in keys}
            jobs = [playing(opened(), model.rates, heard[key], job.output / key, config.pace) for key in keys]
            lines = zip(keys, drive_together(model, jobs), strict=True)
            yield [{"id": key, "text": " ".join(line.text.split())} for key, line in lines]

    title = f"duplex by {by}" if by else "duplex"
    timed = config.pace > 0  # side by side, work would take the time of all of them
    units = list(itertools.batched(scenes, 1 if timed else config.batch))
    played = (config.max_new_tokens, config.pace, config.pauses, job.config.answers, script, by)
    records = job.run(title, units, played, work, timed)
    job.finish({key: record["text"] for key, record in records.items()})
    return records


def transcribe(outputs: Path, scenes: Sequence[ScriptedScene], judge: judges.Judge) -> None:
    """Add `text` and `chunks` to output.json next to every output.wav that has no words yet."""
    for scene in scenes:
        folder = outputs / scene.id
        if not (folder / "output.wav").is_file() or "chunks" in (known := read_json(folder / "output.json")):
            continue
        wav, hz = read_audio(str(folder / "output.wav"), judges.RATE_HZ)
        found = judge.words(wav) if speech_segments(wav, hz) else []  # recognisers invent words for silence
        write_json(folder / "output.json", known | as_content(found))


def score(root: Path, config: DecodeConfig, judge: Path | None = None) -> dict[str, Any]:
    scenes = read_scenes(data_of(root / "duplex"), sound=False)
    return {"duplex": _score_model(root / "duplex", scenes, config)}


def _score_model(outputs: Path, scenes: Sequence[ScriptedScene], config: DecodeConfig) -> dict[str, Any]:
    """Figures of a decoding folder; baselines: those of the folders next to it."""
    own = read_outcomes(outputs, scenes)
    folders = {name: _output_of(outputs, name) for name in config.duplex.baselines}
    others = {name: read_outcomes(at, scenes) for name, at in folders.items() if at.is_dir()}
    baselines = {
        name: _scored(found, scenes) | {"takeover_less": takeover_differences(own, found)}
        for name, found in others.items()
    }
    return _scored(own, scenes) | {"pace": config.duplex.pace, "baselines": baselines}


def read_outcomes(outputs: Path, scenes: Sequence[ScriptedScene]) -> list[Outcome]:
    """Of the scenes that have an output. Raises TableError if none has."""
    there = [scene for scene in scenes if (outputs / scene.id / "output.wav").is_file()]
    if not there:
        raise TableError(f"{outputs}: no <id>/output.wav in it for any scene, as {scenes[0].id}/output.wav")
    return [measure(*read_output(outputs / scene.id, scene)) for scene in there]


def score_outputs(outputs: Path, scenes: Sequence[ScriptedScene]) -> dict[str, Any]:
    """Figures of the outputs, a folder for each scene. Raises TableError if no scene has any."""
    return _scored(read_outcomes(outputs, scenes), scenes)


def _scored(outcomes: Sequence[Outcome], scenes: Sequence[ScriptedScene]) -> dict[str, Any]:
    missing = sorted({scene.id for scene in scenes} - {one.id for one in outcomes})
    return summarise_outcomes(outcomes) | {"missing": missing}


def takeover_differences(own: Iterable[Outcome], others: Iterable[Outcome]) -> dict[str, dict[str, Any]]:
    """By kind, the share of the scenes in which the floor was taken less that of another system, on the same scenes."""
    taken = {one.id: one.takeover for one in others}
    pairs: dict[str, list[tuple[bool, bool]]] = {}
    for one in own:
        if one.id in taken:
            pairs.setdefault(one.kind, []).append((one.takeover, taken[one.id]))
    return {kind: difference_of(*zip(*found, strict=True)) for kind, found in pairs.items()}


def summarise_outcomes(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Figures by kind; backchannels over all turns of the user; resume: how often the system speaks on past what is not
    for it, over all kinds of that."""
    outcomes = list(outcomes)
    by_kind = {kind: [one for one in outcomes if one.kind == kind] for kind in KINDS}
    turns = [one for one in outcomes if one.kind in ("turn", "pause")]
    aside = [one for one in outcomes if one.overlapped and one.kind in ("backchannel", "side", "background", "noise")]
    return {
        "scenes": len(outcomes),
        "kinds": {kind: _figures(kind, ones) for kind, ones in by_kind.items() if ones},
        "resume": share_of([one.behaviour == "resume" for one in aside]),
        "backchannels": {
            "per_s": mean_of([one.backchannels for one in turns], [one.user_s for one in turns]),
            "jsd": mean_of([one.jsd for one in turns if one.jsd is not None]),
        },
    }


def scene_rows(figures: Mapping[str, Any]) -> list[list[str]]:
    """The table's lines, one a kind; columns as HEAD has them."""
    return [
        [
            kind,
            share(found["takeover"]),
            WANTED.get(kind, "low"),
            _with_p90(found["response_s"]),
            MISSING if found["overlapped"]["share"] is None else f"{found['overlapped']['hits']} of {found['scenes']}",
            share(found["stopped"]),
            _with_p90(found["stop_s"]),
            share(found["respond"]),
            share(found["resume"]),
            summary(found["paused_s"], 2) if "paused_s" in found else MISSING,
        ]
        for kind, found in figures["kinds"].items()
    ]


def baseline_rows(figures: Mapping[str, Any]) -> list[list[str]]:
    """The same of its baselines, each line after the baseline's name."""
    found = figures.get("baselines", {})
    return [[TITLES[name], *row] for name, one in found.items() for row in scene_rows(one)]


def difference_rows(figures: Mapping[str, Any]) -> list[list[str]]:
    """For each baseline and kind, the takeovers less the baseline's."""
    found = figures.get("baselines", {})
    return [
        [TITLES[name], kind, WANTED.get(kind, "low"), difference(one)]
        for name, baseline in found.items()
        for kind, one in baseline.get("takeover_less", {}).items()
    ]


def backchannel_line(figures: Mapping[str, Any]) -> list[str]:
    """How often the system says "uh-huh" in the user's turns; empty without turns to count in."""
    rate, jsd = figures["backchannels"]["per_s"]["mean"], figures["backchannels"]["jsd"]["mean"]
    text = f"backchannels of the system: {number(rate, 3)} a second of the user's turns"
    return [] if rate is None else [text if jsd is None else f"{text}, JSD {number(jsd, 3)}"]


def clock_line(figures: Mapping[str, Any]) -> list[str]:
    """What the times of an offline run are based on; empty for other runs."""
    if "pace" not in figures:
        return []
    if figures["pace"] == 0:
        return ["the model's work took no time on the scenes' clock: latencies are those of its decisions alone"]
    return [f"the model's work took {figures['pace']:g} times as long on the scenes' clock as on this machine"]


def _figures(kind: str, ones: Sequence[Outcome]) -> dict[str, Any]:
    over = [one for one in ones if one.overlapped]
    waited = [one for one in ones if one.overlapped is not None]
    answered = [one.responded for one in ones if one.responded is not None]
    # an answer that ended by itself could not be stopped; sound alone does not show what an echo stopped
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
        "paused_s": _seconds([one.paused_s for one in ones]),
        "overlap_s": _seconds([one.overlap_s for one in ones]),
    }


def _seconds(values: Iterable[float | None]) -> dict[str, Any]:
    """Average with its interval, median and 90 %, also with one, of the known values."""
    there = [value for value in values if value is not None]
    names = ("low", "high", "p90_low", "p90_high")
    if not there:
        return summarise(there) | dict.fromkeys(names)
    ends = (*ratio_interval(there), *percentile_interval(there, 90))
    return summarise(there) | {name: round(end, 3) for name, end in zip(names, ends, strict=True)}


def _with_p90(figures: Mapping[str, Any]) -> str:
    """`summary`, and the interval of its last; of results without one the summary alone."""
    text = summary(figures, 2)
    if figures.get("p90_low") is None:
        return text
    return f"{text} ({figures['p90_low']:.2f}-{figures['p90_high']:.2f})"


def _rows(found: Found) -> list[str]:
    found = list(found)
    rows = [[model, *row] for model, figures in found for row in scene_rows(figures)]
    rows += [[f"{model}, {row[0]}", *row[1:]] for model, one in found for row in baseline_rows(one)]
    lines = table(["model", *HEAD], rows)
    less = [[model, *row] for model, figures in found for row in difference_rows(figures)]
    lines += table(["model", "takeovers less those", "scenes of", "wanted", "points (95 %)"], less)
    notes = [f"- {model}: {line}" for model, one in found for line in (*backchannel_line(one), *clock_line(one))]
    return [*lines, *notes, *(f"- {note}" for note in NOTES), ""]


SECTIONS = (Section("Talking at once: scripted scenes of two voices, in closed loop", "duplex", _rows),)


def evaluate(args: argparse.Namespace, config: DecodeConfig) -> Report:
    """A row for each kind of scene. Raises ValueErrors if something cannot be read."""
    scenes, outputs = read_scenes(args.scenes), args.outputs or args.output / "duplex"
    if args.model is not None:
        decode(DecodeJob.of(args, config, outputs, args.scenes))
    elif args.server is not None:
        from freeze_omni.eval.duplex.realtime import play_scenes

        play_scenes(args, outputs, scenes)
    notes = []
    if args.judge is not None:
        how = replace(config.score.judge, language=args.language)
        judge = judges.Judge(args.judge, how, judges.judge_device(args.device))
        transcribe(outputs, scenes, judge)
        notes.append(f"words by {judge.name}: a takeover is a second of words, or more than three")
    figures = score_outputs(outputs, scenes) if args.model is None else _score_model(outputs, scenes, config)
    tasks = write_bench(args.output / "full_duplex_bench", args.scenes, outputs, scenes)
    if figures["missing"]:
        notes.append(f"{len(figures['missing'])} scenes have no output.wav, as {figures['missing'][0]}: left out")
    notes += [*backchannel_line(figures), *clock_line(figures), *NOTES]
    notes.append(f"for Full-Duplex-Bench's own scripts: full_duplex_bench/{{{','.join(tasks)}}}")
    title = f"Talking at once, {args.set or args.scenes.name}, {figures['scenes']} scenes"
    rows = scene_rows(figures)
    rows += [[f"{row[0]}: {row[1]}", *row[2:]] for row in baseline_rows(figures)]
    return Report(title, HEAD, rows, {"duplex": figures}, notes)
