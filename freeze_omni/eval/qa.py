"""Spoken question answering: answers to spoken questions, and to the same questions as text by the same LLM.

`answer` follows the whole question, as the paper measures it. `answer_own` follows what the model had heard when its
own state head ended the turn; empty if it never did. A later round of a dialogue is asked after the reference answers
of the earlier ones, so that rounds do not depend on each other.

An answer is right if one of the reference answers occurs in it as a run of whole words, both normalised, without an
article before the reference. This is the rule of Web Questions and Trivia QA for generative models, as in the paper.
"""

from __future__ import annotations

import argparse
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from freeze_omni.config import ConfigError
from freeze_omni.data.questions import read_published
from freeze_omni.data.tables import read_table
from freeze_omni.eval import paper
from freeze_omni.eval.batch import context, decoded, greedy_answers, hear, state_probabilities, texts
from freeze_omni.eval.bootstrap import ratio_interval
from freeze_omni.eval.config import DecodeConfig, QaDecodeConfig
from freeze_omni.eval.outputs import match, read_texts
from freeze_omni.eval.report import Found, Report, Section, number, rate, share, table
from freeze_omni.eval.runner import DecodeJob, data_of, read_records
from freeze_omni.eval.sets import asked, question_answers, read_histories, sound_batches, whole_dialogues
from freeze_omni.eval.wer import error_rate, normaliser
from freeze_omni.llm.generate import GenerationConfig, generate_batch
from freeze_omni.llm.order import Rounds
from freeze_omni.session.events import ANSWER
from freeze_omni.session.history import embed
from freeze_omni.session.reducer import decide

Asked = Mapping[str, Mapping[str, Any]]
References = Mapping[str, Sequence[str]]
_WAYS = {"spoken": "answer", "own": "answer_own", "text": "answer_text"}
_ARTICLE = re.compile(r"^(the|a|an) (?=\S)")


def decode(job: DecodeJob) -> dict[str, dict[str, Any]]:
    """Write records.jsonl and `text`, the answers to the whole questions. Later rounds need `history`."""
    config = job.config.qa
    table, questions = read_table(job.data / "wav.scp"), read_table(job.data / "text", need_value=False)
    histories = read_histories(job.data)

    def work(todo: list[str]) -> Iterator[list[dict[str, Any]]]:
        model = job.load()
        for keys, sounds in sound_batches(table, todo, model.rates.input_hz, config.batch):
            rounds = [histories.get(key, ()) for key in keys]
            rows = answer(model, sounds, [questions[key] for key in keys], rounds, config)
            yield [
                {"id": key, "round": len(before) + 1, "question": questions[key], **row}
                for key, before, row in zip(keys, rounds, rows, strict=True)
            ]

    keys = whole_dialogues(asked(job.data), histories, config.questions)
    records = job.run("qa", keys, config, work)
    job.finish({key: record["answer"] for key, record in records.items()})
    return records


@torch.no_grad()
def answer(
    model: Any, sounds: Sequence[np.ndarray], questions: Sequence[str], rounds: Sequence[Rounds], config: QaDecodeConfig
) -> list[dict[str, Any]]:
    """transcript, answer, answer_own, answer_text, and the chunk of the decision, for each question (S,)."""
    heard, contexts = hear(model, sounds), [context(model, before) for before in rounds]
    adapted, order = heard.adapted, model.llm.order
    suffix = embed(model, order.suffix())
    decisions = [first_answer(row) for row in state_probabilities(model, heard, contexts)]
    rows, own = [], []
    for index, chunk in enumerate(decisions):
        sizes = [int(adapted.lengths[index])]
        if chunk is not None:
            sizes.append(int(adapted.ends[index, chunk]))
        for size in dict.fromkeys(sizes):
            rows.append(order.spoken_turn(contexts[index], adapted.embeds[index, :size], suffix))
        # the same positions give the same answer: read once
        own.append((len(rows) - len(set(sizes)), len(rows) - 1))
    said = [decoded(model.llm, ids) for ids in greedy_answers(model.llm, rows, config.max_new_tokens)]
    prompts = [
        order.before_answer(model.system_prompt, before, text) for before, text in zip(rounds, questions, strict=True)
    ]
    written = generate_batch(model.llm, prompts, GenerationConfig(config.max_new_tokens))
    return [
        {
            "transcript": transcript,
            "answer": said[whole],
            "answer_own": "" if chunk is None else said[early],
            "answer_text": decoded(model.llm, reply.ids),
            "decision_chunk": chunk,
        }
        for transcript, (whole, early), reply, chunk in zip(texts(model, heard), own, written, decisions, strict=True)
    ]


def first_answer(probabilities: Sequence[Sequence[float]]) -> int | None:
    """The first chunk that decides 1; None if 2 comes first, or neither."""
    for chunk, said in enumerate(probabilities):
        state = decide(tuple(said))
        if state:
            return chunk if state == ANSWER else None
    return None


def is_right(answer: str, references: Sequence[str], normalise: str = "english") -> bool:
    """Whether the answer contains any of the references, word for word."""
    clean = normaliser(normalise)
    said = f" {clean(answer)} "
    wanted = (_ARTICLE.sub("", clean(reference)) for reference in references)
    return any(f" {text} " in said for text in wanted if text)


def accuracy(answers: Mapping[str, str], references: References, normalise: str = "english") -> dict[str, Any]:
    """Share of right answers (none is a wrong one), with its interval. Raises ValueError without reference answers."""
    if not references:
        raise ValueError("no questions to score")
    if bare := [key for key, texts in references.items() if not any(texts)]:
        raise ValueError(f"question '{bare[0]}' has no reference answer; leave it out of the test set")
    right = {key: is_right(answers.get(key, ""), texts, normalise) for key, texts in references.items()}
    low, high = ratio_interval([float(hit) for hit in right.values()])
    return {
        "accuracy": sum(right.values()) / len(right),
        "low": low,
        "high": high,
        "questions": len(right),
        "answered": sum(bool(answers.get(key, "").strip()) for key in references),
        "wrong": [key for key, hit in right.items() if not hit],
    }


def score_rounds(records: Asked, references: References, normalise: str) -> dict[str, Any]:
    """`score_records` of all questions and, under `rounds`, of each round if there are several; nothing of nothing."""
    figures = score_records(records, references, normalise) if records else {}
    rounds = sorted({record.get("round", 1) for record in records.values()})
    for round_ in rounds if rounds != [1] else ():
        own = {key: record for key, record in records.items() if record.get("round", 1) == round_}
        figures.setdefault("rounds", {})[str(round_)] = score_records(own, references, normalise)
    return figures


def score_records(records: Asked, references: References, normalise: str) -> dict[str, Any]:
    """Figures of questions asked in speech (whole, and up to the model's own end of turn) and in text.

    spoken, own, text, ratio: accuracies, if there are reference answers. as_text: error rate of the spoken questions'
    answers against the LLM's answers to the text. transcript: that of what was heard. ended: by the model's state 1.
    """
    ended = sum(record["decision_chunk"] is not None for record in records.values())
    figures: dict[str, Any] = {"questions": len(records), "ended": ended}
    known = {key: references[key] for key in records if references.get(key)}
    if known:
        for name, field in _WAYS.items():
            figures[name] = accuracy({key: records[key][field] for key in known}, known, normalise)
        text = figures["text"]["accuracy"]
        figures["ratio"] = figures["spoken"]["accuracy"] / text if text else None
    for name, reference, said in (("as_text", "answer_text", "answer"), ("transcript", "question", "transcript")):
        texts = {key: record[reference] for key, record in records.items()}
        found = {key: record[said] for key, record in records.items()}
        rate = error_rate(texts, found, normalise).as_dict()
        figures[name] = rate if rate["words"] else None
    return figures


def score(root: Path, config: DecodeConfig, judge: Path | None = None) -> dict[str, Any]:
    """Answers to spoken and written questions: of all rounds and, if there are several, of each."""
    records, references = read_records(root / "qa" / "records.jsonl"), question_answers(data_of(root / "qa"))
    return {"qa": score_rounds(records, references, config.score.normaliser)}


def _rows(models: Found) -> list[str]:
    rows, by_round = [], []
    for model, qa in models:
        if "spoken" in qa:
            cells = [share(qa[name], "accuracy") for name in _WAYS]
            rows.append([model, *cells, number(qa["ratio"], 3), rate(qa["transcript"])])
        rounds = qa.get("rounds", {})
        if rounds or "spoken" not in qa:  # of dialogues, whose questions may have no reference answers
            for name, one in {**rounds, "all": qa}.items():
                cells = [share(one.get(way), "accuracy") for way in ("spoken", "text")]
                ended = f"{one['ended']} of {one['questions']}"
                by_round.append([model, name, *cells, rate(one["as_text"]), rate(one["transcript"]), ended])
    head = ["model", "spoken", "spoken, ended by its own state 1", "LLM on text", "ratio", "WER of the questions"]
    more = ["model", "round", "spoken", "LLM on text", "WER of spoken against LLM on text", "WER of the questions"]
    return [*table(head, rows), *table([*more, "ended by state 1"], by_round)]


_PAPER = "Web Questions 44.73 spoken, 45.13 its LLM on text; Llama Questions 72 and 77.67"
SECTIONS = (Section("Spoken question answering: accuracy in percent", "qa", _rows, _PAPER),)
SPOKEN, WRITTEN = "spoken", "its LLM on text"


def evaluate(args: argparse.Namespace, config: DecodeConfig) -> Report:
    """Rows: accuracy on speech and on text; of a model, of its own end of turn and of each round, too."""
    name = args.set or (args.data.parent.name if args.data.name == "questions.jsonl" else args.data.stem)
    notes: list[str] = []
    if args.model is not None:
        references, found = ask(args, config)
    else:
        asked_for = {question.id: question.answers for question in read_published(args.data)}
        references, found = _answered(asked_for, args.data), {}
        for way, path in {SPOKEN: args.outputs, WRITTEN: args.text_outputs}.items():
            if path is not None:
                answers = read_texts(path, list(asked_for), args.fields if way == SPOKEN else args.text_fields)
                notes += match(references, answers, path)
                found[way] = {key: answers.get(key, "") for key in references}
    figures = {
        way: accuracy(answers, {key: references[key] for key in answers}, args.normaliser)
        for way, answers in found.items()
    }
    theirs = dict(zip((SPOKEN, WRITTEN), paper.QA.get(paper.same_set(name), ()), strict=False))
    words = {way: np.mean([len(text.split()) for text in answers.values()]) for way, answers in found.items()}
    rows = [[way, share(one, "accuracy"), f"{words[way]:.1f}", number(theirs.get(way))] for way, one in figures.items()]
    spoken, text = figures[SPOKEN]["accuracy"], figures.get(WRITTEN, {}).get("accuracy")
    if text:
        notes.append(f"spoken over text: {spoken / text:.3f}")
    notes += ["right: a reference answer occurs in the answer as whole words, both normalised; 95 % bootstrap interval"]
    if args.model is not None:
        notes.append(f"answers are cut after {args.max_new_tokens} tokens (--max_new_tokens)")
    title = f"Spoken question answering, {name}, {len(references)} questions, normaliser {args.normaliser}"
    head = ["", "accuracy %, questions", "words an answer", "paper"]
    return Report(title, head, rows, {"set": name, "normaliser": args.normaliser, "qa": figures}, notes)


def ask(args: argparse.Namespace, config: DecodeConfig) -> tuple[References, dict[str, dict[str, str]]]:
    """The packed model's answers by way and question, after the reference answers. Raises ConfigError."""
    if not (args.data / "wav.scp").is_file():
        fix = "a model hears its questions: speak them (freeze_omni.bin.tts_synthesize)"
        raise ConfigError(f"{args.data}: no wav.scp; {fix}")
    references = _answered(question_answers(args.data), args.data)
    records = decode(DecodeJob.of(args, config, args.output / "qa"))
    records = {key: one for key, one in records.items() if key in references}
    fields = {SPOKEN: "answer", "spoken, ended by its own state 1": "answer_own", WRITTEN: "answer_text"}
    found = {way: {key: record[field] for key, record in records.items()} for way, field in fields.items()}
    rounds = sorted({record["round"] for record in records.values()})
    for round_, way in itertools.product(rounds if len(rounds) > 1 else (), (SPOKEN, WRITTEN)):
        own = {key: text for key, text in found[way].items() if records[key]["round"] == round_}
        found[f"{way}, round {round_}"] = own
    return references, found


def _answered(references: References, source: Path) -> References:
    """Those with a reference answer. Raises ConfigError if none has any."""
    known = {key: answers for key, answers in references.items() if answers}
    if not known:
        raise ConfigError(f"{source}: no question in it has a reference answer")
    return known
