"""Turn taking on labelled scenes of stage 4: the decisions of the state head, or of when another system began to speak.

Every segment of the user's side (inner pauses included) is judged alone; a chunk decides 1 or 2 if the probability of
that state passes the threshold, as in a session.

take            share of complete turns that were decided 1 between `early_s` before their end and `late_s` after it,
                and not earlier
false pause     share of complete turns with a pause, and of turns that break off, that were decided 1 before
                their end (a turn that breaks off has none before the next segment)
wait            share of requests to wait that were decided 3 up to `late_s` after them, of a head with that state
false other     share of backchannels, noises, side talks, echoes and requests to wait that were decided 1, up to
                `late_s` after them
delay           seconds from the end of a taken turn to the end of the chunk with the decision
f1              of every state over the labelled chunks, each chunk alone, the likeliest state taken
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from freeze_omni.data.audio import read_audio
from freeze_omni.data.tables import read_table
from freeze_omni.duplex.labels import Segment
from freeze_omni.duplex.state_head import ANSWER, IGNORE, NO_LABEL, STATES, WAIT
from freeze_omni.eval.batch import context
from freeze_omni.eval.bootstrap import mean_of, share_of, summarise
from freeze_omni.eval.config import DecodeConfig, TakeRule
from freeze_omni.eval.outputs import match, read_numbers, read_sounds, speech_segments
from freeze_omni.eval.report import Found, Report, Section, mean, number, share, summary, table
from freeze_omni.eval.runner import DecodeJob, Units, data_of, read_records
from freeze_omni.eval.sets import (
    first_keys,
    length_batches,
    read_histories,
    read_jsonl,
    read_states,
    sound_batches,
    stack,
)
from freeze_omni.llm.cache import LlmCache
from freeze_omni.session.reducer import decide
from freeze_omni.shapes import pad_rows, valid_mask

Probabilities = Sequence[Sequence[float]]
_MEASURES = {
    "take": "turns taken %",
    "false_pause": "false takes in pauses %",
    "false_other": "replies to other sounds %",
}
DROPPED = "turns dropped %"


@dataclass(frozen=True)
class LabelledScene:
    """What should happen, and what the model said. paused: whether each segment has a pause inside. labels: state of
    every chunk, -1 without label. probabilities: of the head's states at every chunk. no_answer_above: of the model.
    """

    key: str
    segments: Sequence[Segment]
    paused: Sequence[bool]
    labels: Sequence[int]
    probabilities: Probabilities
    no_answer_above: float = 0.5


def decode(job: DecodeJob) -> dict[str, dict[str, Any]]:
    """Write records.jsonl, the probabilities of the states at every chunk, and `text`, the transcripts."""
    config, table, histories = job.config.states, read_table(job.data / "wav.scp"), read_histories(job.data)
    played = read_table(job.data / "played.scp") if (job.data / "played.scp").is_file() else {}

    def work(todo: Units) -> Iterator[list[dict[str, Any]]]:
        model = job.load()
        for keys, sounds in sound_batches(table, todo, model.rates.input_hz):
            contexts = [context(model, histories.get(key, ())) for key in keys]
            hz = model.rates.input_hz
            own = [read_audio(played[key], hz)[0] if key in played else None for key in keys]
            said, above = stream(model, sounds, contexts, own), {"no_answer_above": model.config.no_answer_above}
            yield [{"id": key, **row, **above} for key, row in zip(keys, said, strict=True)]

    batches = length_batches(table, first_keys(table, config.scenes), config.batch)
    records = job.run("states", batches, config, work)
    job.finish({key: record["transcript"] for key, record in records.items()})
    return records


@torch.no_grad()
def stream(
    model: Any,
    sounds: Sequence[np.ndarray],
    contexts: Sequence[Tensor],
    played: Sequence[np.ndarray | None] = (),
) -> list[dict[str, Any]]:
    """Probabilities (chunks, states), rounded, and the transcript of each sound (S_i,), heard step by step to its end.
    contexts: the positions (P_i, E) before each. played: what the system says meanwhile, None for nothing."""
    size, rows, late = model.rates.chunk_samples, len(sounds), model.listening.delay_samples
    chunks = [len(sound) // size for sound in sounds]
    wav, _ = stack([sound[: max(count, 1) * size] for sound, count in zip(sounds, chunks, strict=True)])
    wav, chunks = nn.functional.pad(wav, (0, late)).to(model.device), [count + late // size for count in chunks]
    own = torch.zeros_like(wav)
    for row, sound in enumerate(played):
        if sound is not None:
            own[row, : len(sound)] = torch.from_numpy(sound[: wav.shape[1]])
    state, cache = model.listening.initial_state(rows, model.device), model.llm.new_cache()
    last = _read(model, *pad_rows(list(contexts)), cache)
    said: list[list[list[float]]] = [[] for _ in sounds]
    units: list[list[int]] = [[] for _ in sounds]
    for chunk in range(max(chunks)):
        now = slice(chunk * size, (chunk + 1) * size)
        heard, state = model.listening.step(wav[:, now], state, own[:, now])
        new_units = model.listening.units(heard)
        last = _read(model, heard.adapted.embeds, heard.adapted.lengths, cache, last)
        found = model.state_head(last[:, None], heard.adapted.summary[:, -1:])[:, 0].float().softmax(-1)
        for row, count in enumerate(chunks):
            if chunk < count:
                said[row].append([round(value, 4) for value in found[row].tolist()])
                units[row] += new_units[row]
    return [
        {"probabilities": row, "transcript": " ".join(model.written(ids).split())}
        for row, ids in zip(said, units, strict=True)
    ]


def _read(model: Any, embeds: Tensor, lengths: Tensor, cache: LlmCache, last: Tensor | None = None) -> Tensor:
    """The LLM reads new positions; hidden state (B, E) at each row's last position, the old one without any."""
    if last is not None and not embeds.shape[1]:
        return last
    hidden, _ = model.llm(embeds, valid_mask(lengths, embeds.shape[1]), cache)
    index = (lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, hidden.shape[2])
    found = hidden.gather(1, index)[:, 0]
    return found if last is None else torch.where(lengths[:, None] > 0, found, last)


def decision_times(scene: LabelledScene, state: int, rule: TakeRule, start_s: float, end_s: float) -> list[float]:
    """Ends, in seconds, of the chunks in (start_s, end_s] that decide `state`."""
    return [
        number * rule.chunk_s
        for number, said in enumerate(scene.probabilities, start=1)
        if start_s < number * rule.chunk_s <= end_s
        and decide(tuple(said), rule.threshold, scene.no_answer_above) == state
    ]


def score_scenes(scenes: Iterable[LabelledScene], rule: TakeRule | None = None) -> dict[str, Any]:
    """All measures over the scenes; a share of nothing is None."""
    rule, scenes = rule or TakeRule(), list(scenes)
    hits: dict[str, list[bool]] = {"take": [], "turns_dropped": [], "false_pause": [], "wait": []}
    others: dict[str, list[bool]] = {}
    delays: list[float] = []
    for scene, segment, paused, limit_s in _segments(scenes):
        start_s, end_s = segment.start_s, segment.end_s
        late_s = min(limit_s, end_s + rule.late_s)
        if segment.kind == "complete":
            early = decision_times(scene, ANSWER, rule, start_s, end_s - rule.early_s)
            timely = decision_times(scene, ANSWER, rule, end_s - rule.early_s, late_s)
            hits["take"].append(bool(timely) and not early)
            hits["turns_dropped"].append(bool(decision_times(scene, IGNORE, rule, start_s, late_s)))
            delays += [timely[0] - end_s] if hits["take"][-1] else []
            hits["false_pause"] += [bool(early)] if paused else []
        elif segment.kind == "cutoff":
            hits["false_pause"].append(bool(decision_times(scene, ANSWER, rule, start_s, limit_s)))
        else:
            others.setdefault(segment.kind, []).append(bool(decision_times(scene, ANSWER, rule, start_s, late_s)))
            if segment.kind == "wait" and any(len(said) > WAIT for said in scene.probabilities):
                hits["wait"].append(bool(decision_times(scene, WAIT, rule, start_s, late_s)))
    return {
        **{name: share_of(found) for name, found in hits.items()},
        "false_other": share_of([hit for found in others.values() for hit in found]),
        "false_other_by_kind": {kind: share_of(found) for kind, found in sorted(others.items())},
        "delay_s": summarise(delays),
        "f1": state_f1(scenes),
        "scenes": len(scenes),
    }


def state_f1(scenes: Iterable[LabelledScene]) -> dict[str, dict[str, Any]]:
    """Precision, recall (with their 95 % intervals over scenes) and F1 of each state over labelled chunks, where a
    model hears them: look-ahead comes later."""
    scenes = list(scenes)
    states = max((len(said) for scene in scenes for said in scene.probabilities), default=STATES)
    pairs = [_pairs(scene, states) for scene in scenes]
    result: dict[str, dict[str, Any]] = {}
    for state in range(states):
        hits = [sum(label == guess == state for label, guess in one) for one in pairs]
        labelled = [sum(label == state for label, _ in one) for one in pairs]
        guessed = [sum(guess == state for _, guess in one) for one in pairs]
        rates = {"precision": mean_of(hits, guessed), "recall": mean_of(hits, labelled)}
        chunks = sum(labelled)
        result[str(state)] = {
            **{name: one["mean"] or 0.0 for name, one in rates.items()},
            "f1": round(2 * sum(hits) / (chunks + sum(guessed)), 4) if chunks + sum(guessed) else 0.0,
            "chunks": chunks,
            "intervals": {name: [one["low"], one["high"]] for name, one in rates.items() if one["mean"] is not None},
        }
    return result


def _pairs(scene: LabelledScene, states: int) -> list[tuple[int, int]]:
    """Label and likeliest state of every labelled chunk; a head without a state 3 learns that as 2."""
    heard = scene.probabilities[max(len(scene.probabilities) - len(scene.labels), 0) :]
    return [
        (min(label, states - 1), max(range(len(said)), key=lambda state: said[state]))
        for label, said in zip(scene.labels, heard, strict=False)
        if label != NO_LABEL
    ]


def _segments(scenes: Iterable[LabelledScene]) -> Iterator[tuple[LabelledScene, Segment, bool, float]]:
    """Every segment, whether it has a pause, and where the next one starts (infinity for the last)."""
    for scene in scenes:
        for segment, paused in zip(scene.segments, scene.paused, strict=True):
            later = [other.start_s for other in scene.segments if other.start_s > segment.start_s]
            yield scene, segment, paused, max(segment.end_s, min(later, default=float("inf")))


def score(root: Path, config: DecodeConfig, judge: Path | None = None) -> dict[str, Any]:
    found = read_labelled(data_of(root / "states"), read_records(root / "states" / "records.jsonl"))
    return {"states": score_scenes(found, config.score.takes)}


def read_labelled(data: Path, records: Mapping[str, Mapping[str, Any]]) -> list[LabelledScene]:
    """The scenes and labels of a set, with what the model said in each."""
    scenes, labels, found = read_jsonl(data / "scene"), read_states(data / "states"), []
    for key, record in records.items():
        segments = [Segment(part["kind"], part["start_s"], part["end_s"]) for part in scenes[key]["segments"]]
        pauses = [pause["start_s"] for pause in scenes[key].get("pauses", ())]
        paused = [any(segment.start_s < at < segment.end_s for at in pauses) for segment in segments]
        above = record.get("no_answer_above", 0.5)  # without it: takes of a system, that has no state 2
        found.append(LabelledScene(key, segments, paused, labels[key], record["probabilities"], above))
    return found


def _rows(models: Found) -> list[str]:
    rows = []
    for model, states in models:
        shares = [share(states.get(name)) for name in (*_MEASURES, "turns_dropped")]
        rows.append([model, *shares, summary(states["delay_s"], 2)])
        rows += [[f"- {kind}", "", "", share(one), "", ""] for kind, one in states["false_other_by_kind"].items()]
    head = ["model", *_MEASURES.values(), DROPPED, "delay s"]
    by_state = [
        [model, state, *(_percent(one, name) for name in ("precision", "recall")), number(one["f1"], 3), one["chunks"]]
        for model, states in models
        for state, one in states["f1"].items()
    ]
    waits = [
        f"- {model}: requests to wait that were heard as such: {share(states['wait'])}"
        for model, states in models
        if states.get("wait", {}).get("count")
    ]
    tables = [*table(head, rows), *table(["model", "state", "precision %", "recall %", "F1", "chunks"], by_state)]
    return [*tables, *waits, *([""] if waits else [])]


def _percent(figures: Mapping[str, Any], name: str) -> str:
    """A share of chunks in percent, with its interval; of results without intervals the share alone."""
    low, high = figures.get("intervals", {}).get(name, (None, None))
    if low is None:
        return number(100 * figures[name], 1)
    return mean({"mean": 100 * figures[name], "low": 100 * low, "high": 100 * high}, 1)


SECTIONS = (Section("Turn taking", "states", _rows),)


def evaluate(args: argparse.Namespace, config: DecodeConfig) -> Report:
    """One row. Outputs: `takes` (lines `<id> <second> ...`), or sounds in time with the input."""
    rule, notes = config.score.takes, []
    if args.model is not None:
        records = decode(DecodeJob.of(args, config, args.output / "states"))
    else:
        labels, scenes = read_states(args.data / "states"), read_jsonl(args.data / "scene")
        if (args.outputs / "takes").is_file():
            takes = read_numbers(args.outputs / "takes")
        else:
            sounds = read_sounds(args.outputs, list(scenes))
            takes = {key: beginnings(*read_audio(sound)) for key, sound in sounds.items()}
        notes = match(scenes, takes, args.outputs)
        records = {
            key: {"probabilities": as_probabilities(takes.get(key, []), len(labels[key]), rule.chunk_s)}
            for key in scenes
        }
        notes.append("a take is where the system begins to speak; the paper's head decides before that")
    found = read_labelled(args.data, records)
    figures = score_scenes(found, rule)
    measures = {**_MEASURES, "turns_dropped": DROPPED}
    rows = [[share(figures[name]) for name in measures] + [summary(figures["delay_s"], 2)]]
    title = f"Turn taking, {args.set or args.data.name}, {len(found)} scenes"
    return Report(title, [*measures.values(), "delay s"], rows, {"duplex": figures}, notes)


def beginnings(wav: np.ndarray, hz: int) -> list[float]:
    """Seconds at which sound (S,) begins, after at least half a second of silence."""
    return [start_s for start_s, _ in speech_segments(wav, hz)]


def as_probabilities(takes: Sequence[float], chunks: int, chunk_s: float) -> list[list[float]]:
    """(chunks, 3): state 1 is certain in the chunk of a take, state 0 in all others."""
    taken = {int(take_s / chunk_s) for take_s in takes}
    return [[0.0, 1.0, 0.0] if chunk in taken else [1.0, 0.0, 0.0] for chunk in range(chunks)]
