"""The LLM's own chat template, cut into the pieces that a spoken dialogue needs.

One dialogue is read as

    system(text) | user_prefix() turn user_suffix() answer | user_prefix(first=False) turn ...

The end token of an answer starts the next `user_prefix`: it enters the LLM's cache only when the next turn starts.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2.exceptions import TemplateError

SYSTEM, USER, ANSWER, NEXT_USER = "SysMark0x", "UserMark1x", "AnswerMark2x", "NextMark3x"
FIXED_DATE = "26 Jul 2024"
_STOP = "."  # what running text follows


class ChatTemplateError(ValueError):
    """The tokenizer has no chat template, or one whose turns cannot be separated."""


@dataclass(frozen=True)
class ChatTexts:
    """The rendered template between the contents of its turns."""

    before_system: str
    after_system: str  # from the system text to the first user text
    user_suffix: str  # from a user text to the answer
    between: str  # from an answer to the next user text, the end token included


class ChatTemplate:
    """Token ids of every piece of a dialogue, made by the LLM's tokenizer from its own template."""

    def __init__(self, tokenizer: Any, texts: ChatTexts) -> None:
        self.tokenizer = tokenizer
        self.texts = texts
        self.end_id = self._find_end(self._ids(texts.between))

    @classmethod
    def from_tokenizer(cls, tokenizer: Any) -> ChatTemplate:
        """Cut the template where marks come out; without a system role its text goes before the first user's.

        Raises ChatTemplateError without a template, or if the marks do not come back in order.
        """
        if not getattr(tokenizer, "chat_template", None):
            raise ChatTemplateError(
                f"{tokenizer.name_or_path}: the tokenizer has no chat template; use an instruct or chat model, or put "
                "the model's template into chat_template.jinja in its folder"
            )
        try:
            return cls(tokenizer, _with_system_role(tokenizer))
        except (TemplateError, ChatTemplateError) as error:
            try:
                return cls(tokenizer, _without_system_role(tokenizer))
            except TemplateError:
                raise ChatTemplateError(
                    f"{tokenizer.name_or_path}: its chat template fails on a plain dialogue: {error}"
                ) from error

    def system(self, text: str) -> list[int]:
        """Ids from the beginning of the dialogue to the end of the system text."""
        return self._ids(self.texts.before_system + text.strip())

    def user_prefix(self, first: bool = True) -> list[int]:
        """Ids that open a user turn: the first, after the system text, or another, with the end token before it."""
        return self._ids(self.texts.after_system if first else self.texts.between)

    def user_suffix(self) -> list[int]:
        """Ids that close the user turn and open the assistant's."""
        return self._ids(self.texts.user_suffix)

    def user_text(self, text: str) -> list[int]:
        """Ids of a user's text as they come out inside the template, right after `user_prefix`."""
        return self._after(self.texts.between, "", text.strip())

    def running_text(self, text: str) -> list[int]:
        """Ids of a text inside running text, so after a space, except in scripts without spaces."""
        text = text.strip()
        if not text or unicodedata.east_asian_width(text[0]) in "WF":
            return self._ids(text)
        return self._after(_STOP, " ", text)

    def answer(self, text: str) -> list[int]:
        """Ids of an answer, without its end token."""
        return self._ids(text.strip())

    def dialogue(self, system: str, turns: Sequence[tuple[str, str | None]]) -> list[int]:
        """Ids of a dialogue in text, without the last answer's end token; an answer of None is still to be given."""
        ids = self.system(system)
        for number, (user, answer) in enumerate(turns):
            ids += self.user_prefix(first=number == 0) + self.user_text(user) + self.user_suffix()
            ids += self.answer(answer or "")
        return ids

    def _after(self, opening: str, between: str, text: str) -> list[int]:
        """Ids of a text after an opening; its ids alone if the two share a token."""
        before, inside = self._ids(opening), self._ids(opening + between + text)
        return inside[len(before) :] if inside[: len(before)] == before else self._ids(text)

    def _ids(self, text: str) -> list[int]:
        return tokenise(text, self.tokenizer)

    def _find_end(self, between: list[int]) -> int:
        added = self.tokenizer.added_tokens_decoder.items()
        special = {*self.tokenizer.all_special_ids, *(key for key, token in added if token.special)}
        found = next((token for token in between if token in special), self.tokenizer.eos_token_id)
        if found is None:
            raise ChatTemplateError(
                f"{self.tokenizer.name_or_path}: neither the template nor the tokenizer has an end token; set eos_token"
            )
        return found


def tokenise(text: str, tokenizer: Any) -> list[int]:
    """LLM token ids of a text, nothing added."""
    return tokenizer(text, add_special_tokens=False)["input_ids"] if text else []


def _with_system_role(tokenizer: Any) -> ChatTexts:
    turns = [("system", SYSTEM), ("user", USER), ("assistant", ANSWER), ("user", NEXT_USER)]
    before, after, _, between, _ = _cut(tokenizer, turns, [SYSTEM, USER, ANSWER, NEXT_USER])
    _, _, suffix = _cut(tokenizer, turns[:2], [SYSTEM, USER])
    return ChatTexts(before, after, suffix, between)


def _without_system_role(tokenizer: Any) -> ChatTexts:
    turns = [("user", USER), ("assistant", ANSWER), ("user", NEXT_USER)]
    before, _, between, _ = _cut(tokenizer, turns, [USER, ANSWER, NEXT_USER])
    _, suffix = _cut(tokenizer, turns[:1], [USER])
    return ChatTexts(before, "\n\n", suffix, between)


def _cut(tokenizer: Any, turns: list[tuple[str, str]], marks: list[str]) -> list[str]:
    """The rendered dialogue cut at its marks: one piece more than marks."""
    rendered = tokenizer.apply_chat_template(
        [{"role": role, "content": content} for role, content in turns],
        tokenize=False,
        add_generation_prompt=turns[-1][0] == "user",
        enable_thinking=False,  # templates of reasoning models; others ignore it
        date_string=FIXED_DATE,  # templates that would print today's date
    )
    pieces, rest = [], rendered
    for mark in marks:
        before, found, rest = rest.partition(mark)
        if not found:
            raise ChatTemplateError(
                f"{tokenizer.name_or_path}: its chat template drops or reorders a turn's content; "
                f"rendered: {rendered!r}"
            )
        pieces.append(before)
    return [*pieces, rest]
