"""Answers to spoken questions, and to the same questions as text by the same LLM.

`answer` follows the whole question, as the paper measures it. `answer_own` follows what the model had heard when its
own state head said that the user had finished: that is what a user gets. It is empty where the head never said so.
A later round of a dialogue is asked behind the reference answers to the earlier ones: rounds do not hang on each other.
"""

from __future__ import annotations

import argparse
import time

import torch

from freeze_omni.data.tables import read_table
from freeze_omni.eval.config import QaDecodeConfig
from freeze_omni.eval.decode import options, sets
from freeze_omni.eval.decode.answers import greedy_answers
from freeze_omni.eval.decode.listening import context, hear, state_probabilities
from freeze_omni.llm.generate import GenerationConfig, generate_batch
from freeze_omni.session.events import ANSWER
from freeze_omni.session.history import embed
from freeze_omni.session.reducer import decide


def decode(arguments: argparse.Namespace) -> None:
    """Write records.jsonl and `text`, the answers to the whole questions.

    The data directory holds wav.scp (16 kHz), text (the questions in writing), questions.jsonl, and history where
    there are later rounds.
    """
    started_s, config = time.time(), options.read_config(arguments.config).qa
    table = read_table(arguments.data / "wav.scp")
    questions = read_table(arguments.data / "text", need_value=False)
    histories = sets.read_histories(arguments.data)
    keys = sets.whole_dialogues(sets.asked(arguments.data), histories, config.questions)
    records = options.open_records(arguments, config)
    todo = records.missing(keys)
    if todo:
        model = options.load_model(arguments.model, arguments.threads, arguments.seed)
        sounds = sets.read_sound(table, todo, model.rates.input_hz)
        lengths = {key: len(sound) for key, sound in sounds.items()}
        for batch in sets.batches(todo, lengths, config.batch):
            turns = [histories.get(key, ()) for key in batch]
            rows = answer(model, [sounds[key] for key in batch], [questions[key] for key in batch], turns, config)
            records.add(
                {"id": key, "round": len(before) + 1, "question": questions[key], **row}
                for key, before, row in zip(batch, turns, rows, strict=True)
            )
            options.progress("qa", len(records.found), len(keys), started_s)
    options.finish(arguments, {key: records.found[key]["answer"] for key in keys}, started_s)


@torch.no_grad()
def answer(model, sounds, questions, histories, config: QaDecodeConfig) -> list[dict[str, object]]:
    """transcript, answer, answer_own, answer_text, and the decision's chunk for each question behind its history."""
    heard, contexts = hear(model, sounds), [context(model, turns) for turns in histories]
    adapted = heard.adapted
    suffix = embed(model, model.llm.chat.user_suffix())
    decisions = [first_answer(row) for row in state_probabilities(model, heard, contexts)]
    rows, own = [], []
    for index, chunk in enumerate(decisions):
        sizes = [int(adapted.lengths[index])]
        if chunk is not None:
            sizes.append(int(adapted.ends[index, chunk]))
        for size in dict.fromkeys(sizes):
            speech = adapted.embeds[index, :size].to(contexts[index].dtype)
            rows.append(torch.cat([contexts[index], speech, suffix]))
        # the same positions give the same answer: read once
        own.append((len(rows) - len(set(sizes)), len(rows) - 1))
    said = [_text(model, ids) for ids in greedy_answers(model.llm, rows, config.max_new_tokens)]
    prompts = [
        model.llm.chat.dialogue(model.system_prompt, [*turns, (text, None)])
        for turns, text in zip(histories, questions, strict=True)
    ]
    written = generate_batch(model.llm, prompts, GenerationConfig(config.max_new_tokens))
    return [
        {
            "transcript": " ".join(heard.texts[index].split()),
            "answer": said[whole],
            "answer_own": "" if decisions[index] is None else said[early],
            "answer_text": _text(model, written[index].ids),
            "decision_chunk": decisions[index],
        }
        for index, (whole, early) in enumerate(own)
    ]


def first_answer(probabilities: list[list[float]]) -> int | None:
    """The first chunk that decides 1; None where 2 comes first or nothing."""
    for chunk, said in enumerate(probabilities):
        state = decide(tuple(said))
        if state:
            return chunk if state == ANSWER else None
    return None


def _text(model, ids: list[int]) -> str:
    return " ".join(model.llm.tokenizer.decode(ids, skip_special_tokens=True).split())
