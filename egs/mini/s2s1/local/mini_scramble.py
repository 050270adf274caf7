"""Sentences without sense, of the words of sensible ones: an encoder that hears them has to listen.

A small corpus of templates is learnt by heart: the encoder then hears the sentence that is likely, not the one
that is said. Where any word may follow any other there is nothing to guess from.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence

_EDGES = re.compile(r"^[^\w]+|[^\w]+$")
_LEAST, _MOST = 3, 9


def vocabulary(sentences: Iterable[str]) -> list[str]:
    """The distinct words as they are written inside a sentence, sorted.

    A first word is taken in lower case unless it is also written with a capital further inside.
    """
    first: set[str] = set()
    inside: set[str] = set()
    for sentence in sentences:
        words = [word for word in (_EDGES.sub("", piece) for piece in sentence.split()) if word]
        first.update(words[:1])
        inside.update(words[1:])
    return sorted(inside | {word if word in inside else word[:1].lower() + word[1:] for word in first})


def scramble(words: Sequence[str], count: int, rng: random.Random) -> list[str]:
    """`count` sentences of 3 to 9 of the words, each word about as often as any other.

    They begin with a capital and end in a stop or a question mark. Raises ValueError without words.
    """
    if not words:
        raise ValueError("no words to scramble")
    sentences, waiting = [], []
    for _ in range(count):
        size = rng.randint(_LEAST, _MOST)
        while len(waiting) < size:
            waiting += rng.sample(words, len(words))
        said, waiting = " ".join(waiting[:size]), waiting[size:]
        sentences.append(said[:1].upper() + said[1:] + rng.choice(".?"))
    return sentences
