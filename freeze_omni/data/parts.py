"""A map over a set as an array of jobs (JOB=1:N of run.pl and slurm.pl).

The set is cut into pieces that depend on it alone, as a batch of utterances. A job takes every N-th piece and writes it
where a later one, alone, finds it and merges all in their order. So the number of jobs changes nothing in the result,
and a killed array makes only the pieces that are missing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

LEFT = "left to the next turn"  # what a job prints that has to wait for the pieces of others; the shell looks for it


class PartDone(Exception):
    """A job of an array has done its share: what comes next is for the job that merges."""


class LeftToOthers(PartDone):
    """What comes next needs pieces that other jobs of the array make: the next turn of the array goes on."""

    def __init__(self, what: str):
        super().__init__(f"{LEFT}: {what}")


@dataclass(frozen=True)
class Part:
    """The share of one job: pieces `number`, `number` + `count`, ..., counted from 1. Without an array: all pieces."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Part:
        """Of `3/8`. Raises ValueError."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise ValueError(f"'{text}' is no part: expected NUMBER/COUNT, as 3/8")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def alone(self) -> bool:
        """Whether no other job works on the set, so that this one merges."""
        return self.count == 1

    def of[Piece](self, pieces: Sequence[Piece]) -> list[Piece]:
        """Its pieces, in order."""
        return list(pieces[self.number - 1 :: self.count])


WHOLE = Part()
