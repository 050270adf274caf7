"""No training text contains a question of a test or development set: compared after the normaliser of WER."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from freeze_omni.data.questions import read_published
from freeze_omni.eval.wer import english

_LEAST_WORDS = 3  # a shorter text is only looked for as a whole


class HeldOut:
    """Texts that training must not hear."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts = {tuple(english(text).split()) for text in texts} - {()}
        self._sizes = sorted({len(words) for words in self._texts if len(words) >= _LEAST_WORDS})

    def within(self, text: str) -> bool:
        """Whether `text` is one of them, or has one of at least three words inside."""
        words = tuple(english(text).split())
        return words in self._texts or any(
            words[start : start + size] in self._texts for size in self._sizes for start in range(len(words) - size + 1)
        )

    def apart[T](self, items: Iterable[T], text_of: Callable[[T], str] = str) -> list[T]:
        """The items whose text has none of these, in their order."""
        return [item for item in items if not self._texts or not self.within(text_of(item))]


def read_outside(paths: Sequence[Path]) -> list[str]:
    """The questions of published test sets, in any form that `read_published` knows. Raises TableError."""
    return [question.question for path in paths for question in read_published(path)]
