"""Which written turns of a user can be spoken: a synthesiser would read code and addresses letter by letter."""

import re
from collections.abc import Callable
from typing import Any

from freeze_omni.data.corpora.base import Dialogue, Skipped

_CODE = re.compile(r"```|[{}<>\\]|\w\(\)|==|::")
_ADDRESS = re.compile(r"https?://|www\.|\S+@\S+\.\S+")
_LETTER = re.compile(r"\w")
_CJK = re.compile(r"[\u3400-\u9fff\u3040-\u30ff]")


def unspeakable(text: str, most_words: int) -> str | None:
    """Why the text cannot be spoken as a turn, in a few fixed phrases; None if it can."""
    if not _LETTER.search(text):
        return "no words"
    if "\n" in text.strip():
        return "several lines"
    if _CODE.search(text):
        return "code"
    if _ADDRESS.search(text):
        return "an address"
    return f"longer than {most_words} words" if count_words(text) > most_words else None


def count_words(text: str) -> int:
    """A CJK character is a word."""
    return len(_CJK.findall(text)) + len(_CJK.sub(" ", text).split())


Rounds = list[tuple[str, str]]


def checked_rounds(row: Any, rounds_of: Callable[[dict[str, Any]], Rounds | None]) -> Rounds | None:
    """What `rounds_of` finds in a row of a JSON file; None if the row has another form than it expects."""
    try:
        found = rounds_of(row) or []
        return found if all(isinstance(text, str) for user, answer in found for text in (user, answer)) else None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def speakable_dialogue(
    key: str, rounds: Rounds, kind: str, most_words: int, least_rounds: int = 1
) -> Dialogue | Skipped:
    """The dialogue up to the first user turn that cannot be spoken, or why too little is left."""
    kept: Rounds = []
    reason = "an empty dialogue"
    for user, assistant in rounds:
        user, assistant = " ".join(user.split("\r")).strip(), assistant.strip()
        why = "an answer is missing" if not assistant else unspeakable(user, most_words)
        if why is not None:
            reason = f"a turn of the user: {why}" if assistant else why
            break
        kept.append((user, assistant))
    if len(kept) < least_rounds or not kept:
        return Skipped(key, reason if len(rounds) >= least_rounds else f"fewer than {least_rounds} rounds")
    return Dialogue(key, tuple(kept), kind)
