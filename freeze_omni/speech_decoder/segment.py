"""Cuts the LLM's growing answer into segments that are spoken while the rest is written.

A pure state machine: push(config, state, delta) -> (segments, state). Two rules:

released: as the published server cuts, by how a new piece of text ends. At least 4 tokens must wait. Stops, colons,
    question and exclamation marks and line breaks cut, but not a point after a digit; commas cut too in the first
    segment, or once 20 tokens wait.
sentence: ours. The first segment ends at the first comma, or after `first_tokens` at the next word, because the user
    waits for it. Later ones end with sentences, so that the prosody covers whole sentences. A point after a digit waits
    for what follows ("3." + "5"), abbreviations and initials do not cut, long sentences are cut at a comma, or
    else at any word.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

ENDS = ".。:：?？!！\n"
COMMAS = ",，、;；"
CLOSERS = "\"')]}”’»」』）"
ABBREVIATIONS = "mr mrs ms dr prof st jr sr vs e.g i.e fig no gen col capt lt sgt rev approx inc ltd co".split()


@dataclass(frozen=True)
class SegmentConfig:
    """When to cut; the numbers of `released` are the published server's.

    min_tokens: no cut before this many LLM tokens wait. comma_tokens: from here on, commas cut in later segments too.
    first_tokens, max_tokens: the first, any segment ends here even without a comma (`sentence` only).
    """

    rule: Literal["released", "sentence"] = "sentence"
    min_tokens: int = 4
    comma_tokens: int = 20
    first_tokens: int = 12
    max_tokens: int = 60

    def __post_init__(self) -> None:
        if not 1 <= self.min_tokens <= min(self.comma_tokens, self.first_tokens, self.max_tokens):
            raise ValueError("min_tokens must be from 1 to the least of comma_tokens, first_tokens, max_tokens")


@dataclass(frozen=True)
class TextSegment:
    """A piece of the answer that is spoken at once, and its range of LLM tokens (and hidden states)."""

    text: str
    first_token: int
    end_token: int


@dataclass(frozen=True)
class SegmentState:
    """The waiting text, its tokens, where it starts in the answer; whether anything was cut yet."""

    text: str = ""
    tokens: int = 0
    first_token: int = 0
    started: bool = False


def push(
    config: SegmentConfig, state: SegmentState, delta: str, tokens: int = 1
) -> tuple[list[TextSegment], SegmentState]:
    """Take a new piece of text, made of `tokens` LLM tokens; return the segments that are ready."""
    segments: list[TextSegment] = []
    if config.rule == "sentence" and _cut_before(config, state, delta):
        segments, state = _cut(state)
    state = replace(state, text=state.text + delta, tokens=state.tokens + tokens)
    if state.tokens >= config.min_tokens and _cut_after(config, state, delta):
        more, state = _cut(state)
        segments += more
    return segments, state


def finish(state: SegmentState) -> tuple[list[TextSegment], SegmentState]:
    """The answer is complete: return what waits, and the state before the next answer."""
    return _cut(state)[0], SegmentState()


def _cut(state: SegmentState) -> tuple[list[TextSegment], SegmentState]:
    """Cut if there is anything to say; marks and blanks alone wait for more text."""
    if not re.search(r"\w", state.text):
        return [], state
    end = state.first_token + state.tokens
    return [TextSegment(state.text, state.first_token, end)], SegmentState(first_token=end, started=True)


def _cut_after(config: SegmentConfig, state: SegmentState, delta: str) -> bool:
    """Whether the waiting text, which now ends in `delta`, ends a segment."""
    bare = delta.rstrip(" ")
    if config.rule == "sentence" and not bare.endswith("\n"):
        bare = bare.rstrip(CLOSERS)
    ending = bare[-1:]
    if not ending:
        return False
    if ending in COMMAS:
        early = state.started and state.tokens < config.comma_tokens
        return not early and (config.rule == "released" or not _after_digit(state.text))
    return ending in ENDS and not (ending == "." and _point_inside(config, state.text))


def _cut_before(config: SegmentConfig, state: SegmentState, delta: str) -> bool:
    """Whether the waiting text ends a segment, now that `delta` shows how it continues."""
    starts_word = bool(delta) and (delta[0].isspace() or ord(delta[0]) > 0x2E7F)  # or a script without spaces
    if state.tokens < config.min_tokens or not starts_word:
        return False
    if _after_digit(state.text) and state.text.rstrip()[-1] == ".":
        return not re.search(r"(^|\n)\s*\d+\.\s*$", state.text)  # "1." of a list belongs to its item
    return state.tokens >= (config.max_tokens if state.started else config.first_tokens)


def _after_digit(text: str) -> bool:
    return bool(re.search(r"\d[.,:，]$", text.rstrip(" " + CLOSERS)))


def _point_inside(config: SegmentConfig, text: str) -> bool:
    """Whether the final point may not end a sentence: after a digit, in an abbreviation."""
    bare = text.rstrip(" " if config.rule == "released" else " " + CLOSERS)
    if re.search(r"\d\.$", bare):
        return True
    word = re.search(r"([A-Za-z.]+)\.$", bare)
    if config.rule == "released" or word is None:
        return False
    return word[1].lower() in ABBREVIATIONS or bool(re.fullmatch(r"(\w\.)*[A-Z]", word[1]))
