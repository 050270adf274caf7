"""How a text becomes CTC unit names and back: by tokens of the LLM, characters or sentencepiece."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from freeze_omni.llm.chat import ChatTemplate

SPACE = "<space>"
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,?!'- "
INCOMPLETE = "\ufffd"  # what a decoder gives for half a character
BPE_FILE, TOKENIZER_FOLDER = "bpe.model", "tokenizer"


class Speller(Protocol):
    """Text to unit names and back; `names` are its units."""

    names: list[str]

    def spell(self, text: str) -> list[str]: ...

    def join(self, names: list[str]) -> str: ...

    def save(self, folder: Path) -> None: ...


class LlmSpeller:
    """Tokens as the LLM's tokenizer makes them inside running text, the first word's too: a name is one unit
    wherever it stands.

    A token that is no unit is cut into the longest units from left to right, at last into
    characters (bytes, if the LLM's tokenizer works on bytes).
    """

    def __init__(self, tokenizer: Any, names: list[str]) -> None:
        self.tokenizer, self.names = tokenizer, names
        self._chat = ChatTemplate.from_tokenizer(tokenizer)
        self._known = set(names)
        self._longest = max(map(len, names), default=0)

    @classmethod
    def from_texts(cls, texts: Iterable[str], tokenizer: Any, min_count: int) -> LlmSpeller:
        """Units: tokens seen min_count times or more, and the single characters of all seen."""
        chat, counts = ChatTemplate.from_tokenizer(tokenizer), Counter()
        for text in texts:
            counts.update(chat.running_text(text))
        seen = dict(zip(counts, tokenizer.convert_ids_to_tokens(list(counts)), strict=True))
        alphabet = tokenizer.convert_ids_to_tokens(
            sorted({i for letter in ALPHABET for i in tokenizer.encode(letter, add_special_tokens=False)})
        )
        characters = {character for name in [*seen.values(), *alphabet] for character in name}
        vocabulary = tokenizer.get_vocab()
        special = set(tokenizer.all_special_ids)
        often = [
            seen[token]
            for token, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            if count >= min_count and token not in special
        ]
        known = set(often)
        return cls(tokenizer, often + sorted(c for c in characters if c in vocabulary and c not in known))

    @classmethod
    def load(cls, folder: Path, names: list[str]) -> LlmSpeller:
        from transformers import AutoTokenizer

        return cls(AutoTokenizer.from_pretrained(folder / TOKENIZER_FOLDER), names)

    def save(self, folder: Path) -> None:
        self.tokenizer.save_pretrained(folder / TOKENIZER_FOLDER)

    def spell(self, text: str) -> list[str]:
        tokens = self.tokenizer.convert_ids_to_tokens(self._chat.running_text(text))
        return [name for token in tokens for name in self._cut(token)]

    def _cut(self, token: str) -> list[str]:
        if token in self._known:
            return [token]
        names, start = [], 0
        while start < len(token):
            sizes = range(min(self._longest, len(token) - start), 0, -1)
            pieces = (token[start : start + size] for size in sizes)
            name = next((piece for piece in pieces if piece in self._known), token[start])
            names.append(name)
            start += len(name)
        return names

    def join(self, names: list[str]) -> str:
        ids = self.tokenizer.convert_tokens_to_ids(names)
        text = self.tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        return text.rstrip(INCOMPLETE).strip()


class CharSpeller:
    """Characters; the space is written `<space>`."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> CharSpeller:
        characters = sorted({character for text in texts for character in text} - {" "})
        return cls([SPACE, *characters])

    def spell(self, text: str) -> list[str]:
        return [SPACE if character == " " else character for character in text]

    def join(self, names: list[str]) -> str:
        return "".join(" " if name == SPACE else name for name in names).strip()

    def save(self, folder: Path) -> None:
        """Nothing but the list of units."""


class BpeSpeller:
    """Pieces of a sentencepiece model (the extra `train` installs sentencepiece)."""

    def __init__(self, model: bytes) -> None:
        self.model = model
        self._processor = _sentencepiece().SentencePieceProcessor(model_proto=model)
        kept = range(self._processor.get_piece_size())
        self.names = [self._processor.id_to_piece(i) for i in kept if not self._processor.is_unknown(i)]

    @classmethod
    def from_texts(cls, texts: Iterable[str], size: int) -> BpeSpeller:
        model = io.BytesIO()
        _sentencepiece().SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type="bpe",
            vocab_size=size,
            hard_vocab_limit=False,
            character_coverage=1.0,
            bos_id=-1,
            eos_id=-1,
            minloglevel=2,
        )
        return cls(model.getvalue())

    @classmethod
    def load(cls, folder: Path) -> BpeSpeller:
        return cls((folder / BPE_FILE).read_bytes())

    def save(self, folder: Path) -> None:
        (folder / BPE_FILE).write_bytes(self.model)

    def spell(self, text: str) -> list[str]:
        return self._processor.encode(text, out_type=str)

    def join(self, names: list[str]) -> str:
        return self._processor.decode(names).strip()


def _sentencepiece() -> Any:
    try:
        import sentencepiece
    except ImportError:
        raise ImportError("CTC units of kind bpe need sentencepiece: pip install 'freeze-omni[train]'") from None
    return sentencepiece
