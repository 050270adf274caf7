"""CTC units: the vocabulary of the CTC head; by default the frozen LLM's own tokens.

They are cased and punctuated as the LLM expects, and let a CTC-compressed adapter send embeddings that it knows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from freeze_omni.config import ConfigError
from freeze_omni.llm.spellers import BpeSpeller, CharSpeller, LlmSpeller, Speller

if TYPE_CHECKING:
    from freeze_omni.llm.frozen import FrozenLLM

BLANK, UNKNOWN = "<blank>", "<unk>"
LIST_FILE, JSON_FILE = "tokens.txt", "units.json"
Kind = Literal["llm", "char", "bpe"]


class CtcUnits:
    """Text to unit ids and back. Id 0 is the blank, id 1 what cannot be written.

    Attributes:
        kind: llm, char or bpe.
        tokens: the name of every unit.
        llm_ids: (V,) long, the LLM token of each unit; -1 for blank, unknown and other kinds.
    """

    def __init__(self, kind: Kind, speller: Speller) -> None:
        self.kind, self.speller = kind, speller
        self.tokens = [BLANK, UNKNOWN, *speller.names]
        self._ids = {name: number for number, name in enumerate(self.tokens)}
        self.llm_ids = torch.full((len(self.tokens),), -1, dtype=torch.long)
        if isinstance(speller, LlmSpeller):
            ids = speller.tokenizer.convert_tokens_to_ids(speller.names)
            self.llm_ids[2:] = torch.tensor(ids)

    @classmethod
    def from_llm(cls, texts: Iterable[str], tokenizer: Any, min_count: int = 3) -> CtcUnits:
        """The LLM's tokens that occur min_count times or more; rarer ones are spelled with these."""
        return cls("llm", LlmSpeller.from_texts(map(_tidy, texts), tokenizer, min_count))

    @classmethod
    def from_characters(cls, texts: Iterable[str]) -> CtcUnits:
        """The characters that occur in the texts."""
        return cls("char", CharSpeller.from_texts(map(_tidy, texts)))

    @classmethod
    def from_bpe(cls, texts: Iterable[str], size: int) -> CtcUnits:
        """At most `size` sentencepiece BPE pieces."""
        return cls("bpe", BpeSpeller.from_texts(map(_tidy, texts), size))

    @classmethod
    def none(cls) -> CtcUnits:
        """For a model without CTC head: nothing can be written."""
        return cls("char", CharSpeller([]))

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> list[int]:
        """Unit ids of a transcript; 1 for what the units cannot write."""
        return [self._ids.get(name, 1) for name in self.speller.spell(_tidy(text))]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of unit ids (repeats already joined); blank and unknown give nothing.

        Half a character at the end is held back, so a longer sequence only ever adds text.
        """
        names = [self.tokens[i] for i in ids if i > 1]
        return self.speller.join(names) if names else ""

    @torch.no_grad()
    def embeddings(self, llm: FrozenLLM) -> Tensor:
        """(V, E): the LLM's input embedding of every unit, zeros for blank and unknown.

        Raises ConfigError for units of another kind, or made with another LLM's tokenizer.
        """
        if self.kind != "llm":
            raise ConfigError(
                f"units of kind '{self.kind}' have no embedding in the LLM: make units of kind 'llm' (stage 3), or set "
                "the adapter's posterior: false"
            )
        ids = self.llm_ids[2:]
        if llm.tokenizer.convert_ids_to_tokens(ids.tolist()) != self.tokens[2:]:
            raise ConfigError(
                f"these CTC units were made with another tokenizer than that of {llm.source}: make them again (stage 3)"
            )
        found = llm.embed(ids.to(llm.model.device))
        return torch.cat([found.new_zeros(2, found.shape[1]), found])

    def save(self, folder: str | Path) -> None:
        """Write tokens.txt (one unit a line), units.json and what else the kind needs."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.speller.save(folder)
        content = {"kind": self.kind, "tokens": self.tokens, "llm_ids": self.llm_ids.tolist()}
        text = json.dumps(content, ensure_ascii=False, indent=0)
        (folder / JSON_FILE).write_text(text + "\n", encoding="utf-8")
        lines = [token.replace("\n", "\\n") for token in self.tokens]
        (folder / LIST_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> CtcUnits:
        """Read what `save` wrote. Raises ConfigError if the folder has no units."""
        folder = Path(folder)
        path = folder / JSON_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            kind, tokens = content["kind"], content["tokens"]
        except FileNotFoundError:
            raise ConfigError(f"{path}: no such file; give the folder that stage 3 wrote") from None
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path}: no description of CTC units ({error}); run stage 3 again") from None
        names = tokens[2:]
        spellers = {
            "llm": lambda: LlmSpeller.load(folder, names),
            "char": lambda: CharSpeller(names),
            "bpe": lambda: BpeSpeller.load(folder),
        }
        if kind not in spellers:
            raise ConfigError(f"{path}: unknown unit kind '{kind}', expected {', '.join(spellers)}")
        units = cls(kind, spellers[kind]())
        if units.tokens != tokens:
            raise ConfigError(f"{path}: its tokens are not those of {folder / 'bpe.model'}")
        return units


def _tidy(text: str) -> str:
    return " ".join(text.split())
