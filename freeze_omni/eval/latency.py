"""Latency of spoken questions in timed sessions: the paper's table (average | 50 % | 90 %), and real-time factors.

Another system is measured from the end of the question to its first sound.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from freeze_omni.data.audio import read_audio, write_wav
from freeze_omni.data.tables import read_table, write_table
from freeze_omni.eval import paper
from freeze_omni.eval.bootstrap import summarise
from freeze_omni.eval.config import DecodeConfig
from freeze_omni.eval.outputs import match, read_numbers, read_sounds
from freeze_omni.eval.question import ask
from freeze_omni.eval.report import Found, Report, Section, number, summary, table
from freeze_omni.eval.runner import DecodeJob, Units, read_records, session_config
from freeze_omni.eval.sets import first_keys, read_histories, read_jsonl
from freeze_omni.eval.states import beginnings

# row of the paper's table: from one mark to another of a timed session
ROWS = {
    "first_text_chunk": ("asked", "segment"),
    "decoder_prefilled": ("segment", "prefill"),
    "first_speech_tokens": ("prefill", "tokens"),
    "first_pcm": ("tokens", "audio"),
    "total": ("asked", "audio"),
}
TOKEN_S = 0.025
_KEPT = (
    "question_end_s",
    "decided_s",
    "transcript",
    "step_s",
    "marks",
    "spent_s",
    "llm_tokens",
    "speech_tokens",
    "drafts",
)
Figure = Callable[[Mapping[str, Any]], float]


def decode(job: DecodeJob) -> dict[str, dict[str, Any]]:
    """Write records.jsonl with one timed session a question, its audio, and `text`, the answers."""
    config, table, later = job.config.latency, read_table(job.data / "wav.scp"), read_histories(job.data)
    asked = job.data / "answer"
    asked = asked if asked.is_file() else job.data / "text"
    first = {key: text for key, text in read_table(asked).items() if key not in later}

    def work(todo: Units) -> Iterator[list[dict[str, Any]]]:
        model = job.load()
        session = session_config(job, model, config.max_new_tokens)
        sounds = {key: read_audio(table[key], model.rates.input_hz)[0] for (key,) in todo}
        ask(model, next(iter(sounds.values())), session, config.tail_s)  # the first call of everything is slow
        for key in sounds:
            asked = ask(model, sounds[key], session, config.tail_s)
            write_wav(job.output / "wav" / f"{key}.wav", asked.audio, model.rates.output_hz)
            record = {"id": key, **{name: getattr(asked, name) for name in _KEPT}}
            record["answer"] = " ".join(asked.text.split())
            record["answer_s"] = len(asked.audio) / model.rates.output_hz
            yield [record | {"listened_s": len(asked.step_s) * model.rates.chunk_s}]

    keys = first_keys(first, config.questions)
    records = job.run("latency", [(key,) for key in keys], (config, job.config.answers), work, timed=True)
    spoken = [key for key, record in records.items() if record["answer_s"] > 0]
    write_table(job.output / "wav.scp", {key: job.output / "wav" / f"{key}.wav" for key in spoken})
    job.finish({key: record["answer"] for key, record in records.items()})
    return records


def score(root: Path, config: DecodeConfig, judge: Path | None = None) -> dict[str, Any]:
    return {"latency": score_latency(read_records(root / "latency" / "records.jsonl").values())}


def score_latency(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows in ms; first audio and decision after the end of the question in s; speeds of the parts."""
    records = list(records)
    spoken = [record for record in records if "audio" in record["marks"]]
    rows = {
        name: summarise((1000 * (r["marks"][end] - r["marks"][start]) for r in spoken), digits=1)
        for name, (start, end) in ROWS.items()
    }
    own = [record for record in spoken if record["decided_s"] is not None]
    return {
        "rows_ms": rows,
        "decision_s": summarise(r["decided_s"] - r["question_end_s"] for r in own),
        "first_audio_s": summarise(r["marks"]["audio"] - r["question_end_s"] for r in spoken),
        "listening_step_ms": summarise((1000 * s for r in records for s in r["step_s"]), digits=1),
        "real_time_factor": {
            "listening": _ratio(records, lambda r: sum(r["step_s"]), lambda r: r["listened_s"]),
            "speech_tokens": _ratio(spoken, _spent("prefill", "tokens"), lambda r: r["speech_tokens"] * TOKEN_S),
            "codec": _ratio(spoken, _spent("audio", "end"), lambda r: r["speech_tokens"] * TOKEN_S),
            "answer": _ratio(spoken, lambda r: r["marks"]["done"] - r["marks"]["asked"], lambda r: r["answer_s"]),
        },
        "llm_tokens_per_s": _ratio(spoken, lambda r: r["llm_tokens"], _spent("token", "segment")),
        "questions": len(records),
        "answered": len(spoken),
        "answered_by_own_decision": len(own),
        "begun_early": sum("closing" in r["spent_s"] for r in own),
        "dropped_drafts_s": round(sum(r["spent_s"].get("dropped", 0.0) for r in records), 3),
    }


def _spent(*names: str) -> Figure:
    return lambda record: sum(record["spent_s"].get(name, 0.0) for name in names)


def _ratio(records: Iterable[Mapping[str, Any]], top: Figure, bottom: Figure) -> float | None:
    """Sum of `top` over sum of `bottom`; None over nothing."""
    total = sum(bottom(record) for record in records)
    return round(sum(top(record) for record in records) / total, 4) if total else None


def _rows(found: Found) -> list[str]:
    cells: dict[str, Callable[[Any], str]] = {
        **{name.replace("_", " "): lambda f, name=name: summary(f["rows_ms"][name]) for name in ROWS},
        "listening step of 160 ms": lambda f: summary(f["listening_step_ms"], 1),
        "end of question to decision, s": lambda f: summary(f["decision_s"], 2),
        "end of question to first audio, s": lambda f: summary(f["first_audio_s"], 2),
    }
    for part in found[0][1]["real_time_factor"]:
        title = f"real-time factor: {part.replace('_', ' ')}"
        cells[title] = lambda f, part=part: number(f["real_time_factor"][part], 3)
    cells["LLM tokens a second"] = lambda f: number(f["llm_tokens_per_s"], 1)
    cells["questions ended by state 1"] = lambda f: f"{f['answered_by_own_decision']} of {f['questions']}"
    cells["answers begun before the decision"] = lambda f: f"{f.get('begun_early', 0)} of {f['questions']}"
    rows = [[title, *(cell(figures) for _, figures in found)] for title, cell in cells.items()]
    return table(["", *(model for model, _ in found)], rows)


_PAPER = "478 / 468 / 750, 15 / 15 / 17, 237 / 235 / 252, 11 / 11 / 13, in all 745 / 753 / 1020"
SECTIONS = (Section("Latency in ms: average / 50 % / 90 %", "latency", _rows, _PAPER),)


def evaluate(args: argparse.Namespace, config: DecodeConfig) -> Report:
    """Outputs: `first_audio` (lines `<id> <seconds after the question>`), or sounds in time with the input."""
    head, title = ["ms: average / 50 % / 90 %", ""], "end of question to first audio"
    shown = " / ".join(str(value) for value in paper.LATENCY_MS)
    notes = [f"the paper, interrupted to first PCM: {shown}, without 160-320 ms of waiting for a chunk and the network"]
    if args.model is not None:
        figures = score_latency(decode(DecodeJob.of(args, config, args.output / "latency")).values())
        rows = [[name.replace("_", " "), summary(figures["rows_ms"][name])] for name in ROWS]
        first = {key: value and 1000 * value for key, value in figures["first_audio_s"].items() if key != "count"}
        rows.append([title, summary(first)])
    else:
        waits = read_waits(args.outputs, args.data)
        scenes = read_jsonl(args.data / "scene")
        notes += match(scenes, waits, args.outputs)
        answered = [waits[key] for key in scenes if waits.get(key) is not None]
        figures = {"first_audio_s": summarise(answered), "questions": len(scenes), "answered": len(answered)}
        rows = [[title, summary(summarise((1000 * wait for wait in answered), 1))]]
        notes.append(f"{len(answered)} of {len(scenes)} questions were answered")
    return Report(f"Latency, {args.set or args.data.name}", head, rows, {"latency": figures}, notes)


def read_waits(outputs: Path, data: Path) -> dict[str, float | None]:
    """Seconds from the end of each question to the first sound, None without any. Raises TableError."""
    if (outputs / "first_audio").is_file():
        return {key: next(iter(found), None) for key, found in read_numbers(outputs / "first_audio").items()}
    waits: dict[str, float | None] = {}
    scenes = read_jsonl(data / "scene")
    for key, sound in read_sounds(outputs, list(scenes)).items():
        waits[key] = None
        if key in scenes:
            end_s = max(segment["end_s"] for segment in scenes[key]["segments"])
            waits[key] = next((at - end_s for at in beginnings(*read_audio(sound)) if at >= end_s), None)
    return waits
