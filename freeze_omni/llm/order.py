"""The order of what the LLM reads, the same in training, evaluation and sessions.

    system | prefix prompt speech suffix answer | prefix prompt speech suffix answer | ...

`prefix` and `suffix` open and close a user's turn by the LLM's own chat template, `prompt` are the learned vectors of
stage 1.3, `speech` the adapter's positions; a typed turn, or an earlier round that is read as text, has the template's
ids of the text in place of prompt and speech. The end token of an answer opens the next prefix.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from freeze_omni.data.tables import parse_json
from freeze_omni.llm.chat import ChatTemplate

MARKS = (".", "?")
"""What may end a spoken turn whose words come without punctuation."""

Rounds = Sequence[tuple[str, str]]
"""(user text, answer) of the rounds before a turn."""


class ReadingOrder:
    """Token ids of each piece by a chat template, and the order of pieces in a turn."""

    def __init__(self, chat: ChatTemplate) -> None:
        self.chat, self.system, self.prefix, self.suffix = chat, chat.system, chat.user_prefix, chat.user_suffix
        self.text, self.answer = chat.user_text, chat.answer  # text: what a user typed, between prefix and suffix

    @property
    def marks(self) -> dict[str, list[int]]:
        """Ids of each mark that may end a spoken turn, right after a word."""
        return {sign: self.chat.mark(sign) for sign in MARKS}

    def text_turn(self, user: str, answer: str) -> list[int]:
        """Ids of a finished round in text, after its prefix."""
        return self.text(user) + self.suffix() + self.answer(answer)

    def before_turn(self, system: str, rounds: Rounds = ()) -> list[int]:
        """Ids of all that the LLM reads before a user's turn: system text, earlier rounds in text, prefix."""
        return self.chat.dialogue(system, rounds) + self.prefix(first=not rounds)

    def before_answer(self, system: str, rounds: Rounds, question: str) -> list[int]:
        """Ids of all that the LLM reads before it answers a question in text."""
        return self.chat.dialogue(system, [*rounds, (question, None)])

    @staticmethod
    def spoken_turn(prompt: Tensor, speech: Tensor, *after: Tensor) -> Tensor:
        """Positions (P, E) of a spoken turn after its prefix: prompt (N, E), speech (M, E), then suffix and answer."""
        return torch.cat([prompt, *(piece.to(prompt.dtype) for piece in (speech, *after))])


def parse_rounds(line: str) -> list[tuple[str, str]]:
    """One line of a `history` table: a JSON list of [user text, answer], or nothing. Raises ValueError."""
    found = parse_json(line or "[]", "history")
    if not isinstance(found, list) or not all(isinstance(one, list) and len(one) == 2 for one in found):
        raise ValueError("expected a JSON list of [user text, answer]")
    return [(user, answer) for user, answer in found]
