"""Inputs that nobody would write by hand, from a seed: odd texts, and files that were damaged."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

COUNT = 2000
_PLAIN = "a b-1 12 words 0.5 -1 nan 1e400 id { } [ ] \" ' : , \\ \\ud800 | ../ &a *a !! - # %".split() + [
    "Good morning."
]
_BLANKS = "\u2028 \u2029 \x85 \x0b \x0c \x1c \x1e \r \t \u3000 \xa0 \ufeff".split(" ") + [" ", "  "]
_ODD = [*_BLANKS, "\x00", "\x1b[0m", "\ufffd", "\u200f", "e\u0301", "漢字", "😀"]


def odd_texts(count: int = COUNT, seed: int = 0) -> Iterator[str]:
    """Texts without a line feed, of up to 12 pieces."""
    rng = random.Random(seed)
    for _ in range(count):
        yield "".join(rng.choice((_PLAIN, _ODD)[rng.random() < 0.4]) for _ in range(rng.randrange(13)))


def damaged(files: Sequence[str], count: int = COUNT, seed: int = 0) -> Iterator[bytes]:
    """One of the files after up to three edits: pieces cut, doubled or replaced; the first time as it is."""
    rng = random.Random(seed)
    yield files[0].encode()
    for _ in range(count - 1):
        content = rng.choice(files).encode()
        for _ in range(rng.randrange(1, 4)):
            start, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
            end = min(end, start + rng.choice((1, 4, 40)))
            new = rng.choice(
                (b"", b"\n", b"\xff", content[start:end] * 2, b"[" * 30, rng.choice((*_PLAIN, *_ODD)).encode())
            )
            content = content[:start] + new + content[end:]
        yield content
