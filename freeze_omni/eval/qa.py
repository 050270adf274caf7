"""Accuracy of answers to factual questions.

The rule: an answer is right if one of the reference answers occurs in it as a run of whole words, both normalised
(`english`: case, punctuation, digits for number words), an article in front of the reference left out. It is the rule
of Web Questions and Trivia QA for generative models, which the paper's table follows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from freeze_omni.eval.bootstrap import ratio_interval
from freeze_omni.eval.normalise import normaliser
from freeze_omni.eval.wer import error_rate

Records = Mapping[str, Mapping[str, Any]]
_WAYS = (("spoken", "answer"), ("own", "answer_own"), ("text", "answer_text"))
_ARTICLE = re.compile(r"^(the|a|an) (?=\S)")


def is_right(answer: str, references: Sequence[str], normalise: str = "english") -> bool:
    """Whether any of the references is contained in the answer, word for word."""
    clean = normaliser(normalise)
    said = f" {clean(answer)} "
    wanted = (_ARTICLE.sub("", clean(reference)) for reference in references)
    return any(f" {text} " in said for text in wanted if text)


def accuracy(
    answers: Mapping[str, str], references: Mapping[str, Sequence[str]], normalise: str = "english"
) -> dict[str, Any]:
    """Share of right answers over all questions (a question without an answer is wrong), with its 95 % interval.

    Raises ValueError where there is no question, or a question without a reference answer.
    """
    if not references:
        raise ValueError("no questions to score")
    bare = [key for key, texts in references.items() if not any(texts)]
    if bare:
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


def score_rounds(records: Records, references: Mapping[str, Sequence[str]], normalise: str) -> dict[str, Any]:
    """`score_records` of all that was asked and, under `rounds`, of each round where there is a later one.

    Nothing where nothing was asked.
    """
    by_round: dict[int, dict[str, Mapping[str, Any]]] = {}
    for key, record in records.items():
        by_round.setdefault(record.get("round", 1), {})[key] = record
    if not by_round:
        return {}
    figures = score_records(records, references, normalise)
    if set(by_round) != {1}:
        figures["rounds"] = {
            str(number): score_records(found, references, normalise) for number, found in sorted(by_round.items())
        }
    return figures


def score_records(records: Records, references: Mapping[str, Sequence[str]], normalise: str) -> dict[str, Any]:
    """Figures of questions that were asked in speech (whole, and up to the model's own end of turn) and in writing.

    spoken, own, text, ratio: accuracies of those that have reference answers, where there are any. as_text: error rate
    of the spoken questions' answers against what the same LLM answers to the text. transcript: error rate of what was
    heard; None where nothing was said. ended: questions that the model's own state 1 ended.
    """
    figures: dict[str, Any] = {
        "questions": len(records),
        "ended": sum(record["decision_chunk"] is not None for record in records.values()),
    }
    known = {key: references[key] for key in records if references.get(key)}
    if known:
        for name, field in _WAYS:
            figures[name] = accuracy({key: records[key][field] for key in known}, known, normalise)
        text = figures["text"]["accuracy"]
        figures["ratio"] = figures["spoken"]["accuracy"] / text if text else None
    for name, reference, said in (("as_text", "answer_text", "answer"), ("transcript", "question", "transcript")):
        texts = {key: record[reference] for key, record in records.items()}
        found = {key: record[said] for key, record in records.items()}
        rate = error_rate(texts, found, normalise).as_dict()
        figures[name] = rate if rate["words"] else None
    return figures
