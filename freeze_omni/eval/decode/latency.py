"""Spoken questions through timed sessions: what the paper's latency rows are made from."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from freeze_omni.data.audio import write_wav
from freeze_omni.data.tables import read_table, write_table
from freeze_omni.eval.decode import options, sets
from freeze_omni.eval.question import Asked, ask
from freeze_omni.session.answer import own_answers
from freeze_omni.session.session import SessionConfig


def decode(arguments: argparse.Namespace) -> None:
    """Write records.jsonl with one timed session a question, its audio, and `text`, the answers."""
    started_s, config = time.time(), options.read_config(arguments.config)
    table = read_table(arguments.data / "wav.scp")
    later = sets.read_histories(arguments.data)
    first = {key: text for key, text in read_table(arguments.data / "answer").items() if key not in later}
    keys = sets.first_keys(first, config.latency.questions)
    records = options.open_records(arguments, (config.latency, config.answers))
    todo = records.missing(keys)
    if todo:
        model = options.load_model(arguments.model, arguments.threads, arguments.seed)
        sounds = sets.read_sound(table, todo, model.rates.input_hz)
        answers = config.answers or own_answers(model)
        generation = replace(answers.generation, max_new_tokens=config.latency.max_new_tokens)
        session = SessionConfig(answers=replace(answers, generation=generation), seed=arguments.seed)
        ask(model, sounds[todo[0]], session, config.latency.tail_s)  # the first call of everything is slow
        for key in todo:
            asked = ask(model, sounds[key], session, config.latency.tail_s)
            wav = arguments.output / "wav" / f"{key}.wav"
            write_wav(wav, asked.audio, model.rates.output_hz)
            records.add([{"id": key, **as_record(asked, model)}])
            options.progress("latency", len(records.found), len(keys), started_s)
    spoken = [key for key in keys if records.found[key]["answer_s"] > 0]
    scp = {key: arguments.output / "wav" / f"{key}.wav" for key in spoken}
    write_table(arguments.output / "wav.scp", scp)
    options.finish(arguments, {key: records.found[key]["answer"] for key in keys}, started_s)


def as_record(asked: Asked, model) -> dict[str, object]:
    """A timed question as one JSON object; marks are seconds since its first sample."""
    return {
        "question_end_s": asked.question_end_s,
        "decided_s": asked.decided_s,
        "transcript": asked.transcript,
        "answer": " ".join(asked.text.split()),
        "answer_s": len(asked.audio) / model.rates.output_hz,
        "step_s": asked.step_s,
        "listened_s": len(asked.step_s) * model.rates.chunk_s,
        "marks": asked.marks,
        "spent_s": asked.spent_s,
        "llm_tokens": asked.llm_tokens,
        "speech_tokens": asked.speech_tokens,
    }
