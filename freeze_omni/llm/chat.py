"""The LLM's own chat template, cut into the pieces that a spoken dialogue needs.

One dialogue is read as

    system(text) | user_prefix() turn user_suffix() answer | user_prefix(first=False) turn ...

The end token of an answer starts the next `user_prefix`: it enters the LLM's cache only when the next turn starts.
Each piece has the ids that it has inside the whole. A space at the end of a piece goes to the text that follows, as
tokenizers have it in one token with the next word.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from freeze_omni.config import ConfigError

SYSTEM, USER, ANSWER, NEXT_USER = "SysMark0x", "UserMark1x", "AnswerMark2x", "NextMark3x"
FIXED_DATE = "26 Jul 2024"
_TODAY = datetime.datetime(2024, 7, 26)  # the same: else the prompt of a trained model would change each day
# In place of the function that templates take today's date from; a template cannot be given another function.
_CODES = {f"%{code}": _TODAY.strftime(f"%{code}") for code in "aAbBdeFDHIjmMpSTuwyYcxX"}
_CODES |= {f"%-{code}": str(int(_TODAY.strftime(f"%{code}"))) for code in "deHIjmMSy"}
_REPLACED = "".join(f" | replace({code!r}, {value!r})" for code, value in _CODES.items())
_FIXED_CLOCK = f"{{% macro strftime_now(format) %}}{{{{ format{_REPLACED} }}}}{{% endmacro %}}\n"
_WORD = "so"
_STOPS = (".", "a")  # what running text follows; two, as one may share a token with it
_JOINED = "\n\n"  # between system text and first user text where the template has no system role
_NO_THINKING = {"enable_thinking": False, "thinking": False, "thinking_budget": 0}  # of reasoning models' templates
_ENDS = {"": "/", "begin_of_": "end_of_", "begin_": "end_", "start_of_": "end_of_", "start_": "end_"}
# <think>, [THINK], <seed:think>, <|begin_of_thought|>, <|START_THINKING|>, and their closing tags
_THOUGHT = re.compile(
    rf"(?P<left>[<\[◁]\|?)(?P<sign>/|{'|'.join({*_ENDS, *_ENDS.values()} - {'', '/'})})?"
    r"(?P<name>[\w:]*(?:think|thought|reason|reflect)\w*)(?P<right>\|?[>\]▷])",
    re.IGNORECASE,
)
_OTHER_THOUGHT = re.compile(r"(?:think|thought|reason|analysis)\w*\W*(?:message\W*)?$", re.IGNORECASE)


class ChatTemplateError(ConfigError):
    """The tokenizer has no chat template, or one whose turns cannot be separated, or that leaves the LLM thinking."""


@dataclass(frozen=True)
class ChatTexts:
    """The rendered template between the contents of its turns."""

    before_system: str
    after_system: str  # from the system text to the first user text
    user_suffix: str  # from a user text to the answer; thinking that it opens is closed
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

        Raises ChatTemplateError without a template, if the marks do not come back in order, or if it opens a reasoning
        that cannot be closed.
        """
        if not getattr(tokenizer, "chat_template", None):
            raise ChatTemplateError(
                f"{tokenizer.name_or_path}: the tokenizer has no chat template; use an instruct or chat model, or put "
                "the model's template into chat_template.jinja in its folder"
            )
        try:
            texts = _with_system_role(tokenizer)
        except ChatTemplateError:
            texts = _without_system_role(tokenizer)
        return cls(tokenizer, texts)

    @property
    def closes_thinking(self) -> bool:
        """Whether an empty reasoning stands before each answer."""
        return _THOUGHT.search(self.texts.user_suffix) is not None

    @property
    def prints_date(self) -> bool:
        """Whether the template gives a date: always `FIXED_DATE`, so that the prompt is the same each day."""
        texts = self.texts.before_system + self.texts.after_system
        return all(part in texts for part in (f"{_TODAY.year}", f"{_TODAY.day}"))

    @property
    def template_options(self) -> dict[str, Any]:
        """Variables by which a server renders the template as it is read here: without reasoning, on the fixed date."""
        date = {"date_string": FIXED_DATE} if self.prints_date else {}
        return {**(_NO_THINKING if self.closes_thinking else {}), **date}

    def messages(self, system: str, turns: Sequence[tuple[str, str | None]]) -> list[dict[str, str]]:
        """A dialogue as `dialogue` takes it, for a server that renders the template itself."""
        said = [(role, text) for turn in turns for role, text in zip(("user", "assistant"), turn, strict=True)]
        found = [{"role": role, "content": text.strip()} for role, text in said if text is not None]
        if self.texts.after_system != _JOINED:
            return [{"role": "system", "content": system.strip()}, *found]
        return [{"role": "user", "content": system.strip() + _JOINED + found[0]["content"]}, *found[1:]]

    def check_answer(self, ids: Sequence[int]) -> None:
        """As `check_text`, of token ids."""
        self.check_text(self.tokenizer.decode(list(ids)))

    def check_text(self, text: str) -> None:
        """Raises ChatTemplateError for an answer of the LLM that begins with a reasoning, which would be spoken."""
        if (tag := _THOUGHT.match(text.lstrip())) and (tag["sign"] or "").lower() not in _ENDS.values():
            raise ChatTemplateError(
                f"{self.tokenizer.name_or_path}: the LLM answers with its reasoning ({tag[0]} ...), which would be "
                "spoken; use a model that answers at once, or close it in chat_template.jinja in its folder"
            )

    def system(self, text: str) -> list[int]:
        """Ids from the beginning of the dialogue to the end of the system text."""
        return self._ids(self.texts.before_system + text.strip())

    def user_prefix(self, first: bool = True) -> list[int]:
        """Ids that open a user turn: the first, after the system text, or another, with the end token before it."""
        return self._after("", self._opening(first).rstrip(" "))

    def user_suffix(self) -> list[int]:
        """Ids that close the user turn and open the assistant's."""
        return self._after("", self.texts.user_suffix.rstrip(" "))

    def user_text(self, text: str, first: bool = False) -> list[int]:
        """Ids of a user's text as they come out inside the template, right after `user_prefix`."""
        return self.user_texts([text], first)[0]

    def user_texts(self, texts: Iterable[str], first: bool = False) -> list[list[int]]:
        """`user_text` of each, tokenised together."""
        return self._after_each(self._opening(first), [text.strip() for text in texts])

    def running_text(self, text: str) -> list[int]:
        """Ids of a text inside running text, so after a space, except in scripts without spaces."""
        return self.running_texts([text])[0]

    def running_texts(self, texts: Iterable[str]) -> list[list[int]]:
        """`running_text` of each, tokenised together."""
        texts = [text.strip() for text in texts]
        spaced = [text for text in texts if text and unicodedata.east_asian_width(text[0]) not in "WF"]
        ids = dict(zip(spaced, self._after_each(" ", spaced), strict=True))
        return [ids[text] if text in ids else self._ids(text) for text in texts]

    def mark(self, sign: str) -> list[int]:
        """Ids of a punctuation mark right after a word."""
        word = self._ids(_WORD)
        both = self._ids(_WORD + sign)
        return both[len(word) :] if both[: len(word)] == word else self._ids(sign)

    def answer(self, text: str) -> list[int]:
        """Ids of an answer, without its end token, right after `user_suffix`."""
        return self._after(self.texts.user_suffix, text.strip())

    def dialogue(self, system: str, turns: Sequence[tuple[str, str | None]]) -> list[int]:
        """Ids of a dialogue in text, without the last answer's end token; an answer of None is still to be given."""
        ids = self.system(system)
        for number, (user, answer) in enumerate(turns):
            first = number == 0
            ids += self.user_prefix(first) + self.user_text(user, first) + self.user_suffix()
            ids += self.answer(answer or "")
        return ids

    def _opening(self, first: bool) -> str:
        return self.texts.after_system if first else self.texts.between

    def _after(self, opening: str, text: str) -> list[int]:
        """Ids of a text inside the whole, after running text and an opening whose spaces at the end are its own.

        Its ids alone if it shares a token with what is before it.
        """
        return self._after_each(opening, [text])[0]

    def _after_each(self, opening: str, texts: Sequence[str]) -> list[list[int]]:
        """`_after` of many texts: what is before them is tokenised once, they are together."""
        before = opening.rstrip(" ")
        spaces = opening[len(before) :]
        found: dict[str, list[int]] = {"": []}
        for stop in _STOPS:
            ids, left = self._ids(stop + before), [text for text in dict.fromkeys(texts) if text not in found]
            wholes = tokenise_each([stop + before + spaces + text for text in left], self.tokenizer)
            whole_of = zip(left, wholes, strict=True)
            found |= {text: whole[len(ids) :] for text, whole in whole_of if whole[: len(ids)] == ids}
        left = [text for text in dict.fromkeys(texts) if text not in found]
        found |= zip(left, tokenise_each(left, self.tokenizer), strict=True)
        return [found[text] for text in texts]

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


def tokenise_each(texts: Sequence[str], tokenizer: Any) -> list[list[int]]:
    """`tokenise` of each, none of them empty."""
    if not texts:
        return []
    first = tokenise(texts[0], tokenizer)  # after this call the backend neither pads nor cuts
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if len(texts) == 1 or backend is None:
        return [first, *(tokenise(text, tokenizer) for text in texts[1:])]
    return [one.ids for one in backend.encode_batch_fast(list(texts), add_special_tokens=False)]


def _with_system_role(tokenizer: Any) -> ChatTexts:
    turns = [("system", SYSTEM), ("user", USER), ("assistant", ANSWER), ("user", NEXT_USER)]
    before, after, answered, between, _ = _cut(tokenizer, turns, [SYSTEM, USER, ANSWER, NEXT_USER])
    _, _, asked = _cut(tokenizer, turns[:2], [SYSTEM, USER])
    return ChatTexts(before, after, _suffix(asked, answered, tokenizer), between)


def _without_system_role(tokenizer: Any) -> ChatTexts:
    turns = [("user", USER), ("assistant", ANSWER), ("user", NEXT_USER)]
    before, answered, between, _ = _cut(tokenizer, turns, [USER, ANSWER, NEXT_USER])
    _, asked = _cut(tokenizer, turns[:1], [USER])
    return ChatTexts(before, _JOINED, _suffix(asked, answered, tokenizer), between)


def _suffix(asked: str, answered: str, tokenizer: Any) -> str:
    """From a user text to the answer, without thinking; asked, answered: as rendered before and with an answer."""
    suffix = answered if answered.startswith(asked) else asked  # not all templates know the generation prompt
    return _close_thinking(suffix, tokenizer)


def _close_thinking(suffix: str, tokenizer: Any) -> str:
    """An opened reasoning is closed at once, as Qwen3's template does it: else it would be spoken as the answer."""
    tags = list(_THOUGHT.finditer(suffix))
    sign = (tags[-1]["sign"] or "") if tags else ""
    if sign.lower() in _ENDS.values() or not (tags or _OTHER_THOUGHT.search(suffix)):
        return suffix
    if not tags or suffix[tags[-1].end() :].strip():
        raise ChatTemplateError(
            f"{tokenizer.name_or_path}: its chat template leaves the LLM thinking ({suffix!r}), which would be spoken; "
            "use a model that answers at once, or change chat_template.jinja in its folder"
        )
    end = _ENDS[sign.lower()]
    end = end.upper() if sign.isupper() else end
    return f"{suffix.rstrip()}\n\n{tags[-1]['left']}{end}{tags[-1]['name']}{tags[-1]['right']}\n\n"


def _cut(tokenizer: Any, turns: list[tuple[str, str]], marks: list[str]) -> list[str]:
    """The rendered dialogue cut at its marks: one piece more than marks."""
    where = f"{tokenizer.name_or_path}: its chat template"
    try:
        rendered = tokenizer.apply_chat_template(
            [{"role": role, "content": content} for role, content in turns],
            tokenize=False,
            add_generation_prompt=turns[-1][0] == "user",
            chat_template=_FIXED_CLOCK + tokenizer.get_chat_template(),
            date_string=FIXED_DATE,
            **_NO_THINKING,  # others ignore it
        )
    except Exception as error:  # whatever the template does
        raise ChatTemplateError(f"{where} fails on a plain dialogue: {' '.join(str(error).split())}") from error
    pieces, rest = [], rendered
    for mark in marks:
        before, found, rest = rest.partition(mark)
        if not found:
            raise ChatTemplateError(f"{where} drops or reorders a turn's content; rendered: {rendered!r}")
        pieces.append(before)
    return [*pieces, rest]
