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
