"""What stages share beside their parts: the frozen LLM and the CTC units, loaded once a process."""

from __future__ import annotations

import argparse
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freeze_omni.config import ConfigError

if TYPE_CHECKING:
    from freeze_omni.llm.frozen import FrozenLLM
    from freeze_omni.llm.units import CtcUnits
    from freeze_omni.tasks.llm_embedding import LlmEmbedding


@dataclass(frozen=True)
class Resources:
    """Where the LLM and the units are, and how large: parts are built from the sizes alone.

    Raises ConfigError on access to what was not given.
    """

    llm_path: str | None
    llm_dtype: str
    given_llm_size: int | None
    units_path: str | None
    given_unit_size: int | None
    system: str = ""
    cmvn: str | None = None
    loads: bool = True

    @classmethod
    def from_options(cls, args: argparse.Namespace) -> Resources:
        return cls(
            args.llm,
            args.llm_dtype,
            args.llm_size,
            args.units,
            args.unit_size,
            args.system,
            args.cmvn,
        )

    @classmethod
    def sizes_only(cls, args: argparse.Namespace) -> Resources:
        """For a dry run: weights are not read."""
        return cls(args.llm, args.llm_dtype, args.llm_size, args.units, args.unit_size, loads=False)

    @property
    def llm(self) -> FrozenLLM:
        if self.llm_path is None:
            raise ConfigError("this stage needs the LLM: give --llm FOLDER (any transformers causal LM)")
        return _load_llm(self.llm_path, self.llm_dtype)

    @property
    def embedding(self) -> FrozenLLM | LlmEmbedding:
        """The LLM's tokenizer and input embedding, without the rest of it where that can be left
        out."""
        if self.llm_path is None:
            raise ConfigError("this stage needs the LLM's embedding: give --llm FOLDER (a transformers causal LM)")
        return _load_embedding(self.llm_path, self.llm_dtype)

    @property
    def units(self) -> CtcUnits:
        if self.units_path is None:
            raise ConfigError("this stage needs the CTC units: give --units FOLDER (stage 3 makes it)")
        return _load_units(self.units_path)

    @property
    def llm_size(self) -> int:
        """Width of the LLM's embeddings."""
        if self.llm_path is not None and self.loads:
            return self.embedding.hidden_size
        if self.llm_path is not None and (Path(self.llm_path) / "config.json").exists():
            return json.loads((Path(self.llm_path) / "config.json").read_text(encoding="utf-8"))["hidden_size"]
        if self.given_llm_size is None:
            raise ConfigError("the width of the LLM is not known: give --llm FOLDER or --llm_size")
        return self.given_llm_size

    @property
    def unit_size(self) -> int:
        """Number of CTC units, the blank among them."""
        if self.units_path is not None:
            return len(self.units)
        if self.given_unit_size is None:
            raise ConfigError("the number of CTC units is not known: give --units FOLDER or --unit_size")
        return self.given_unit_size


@functools.cache
def _load_llm(path: str, dtype: str) -> FrozenLLM:
    from freeze_omni.llm.frozen import FrozenLLM

    return FrozenLLM.load(path, dtype=dtype, device="cpu")


@functools.cache
def _load_embedding(path: str, dtype: str) -> FrozenLLM | LlmEmbedding:
    from freeze_omni.tasks.llm_embedding import LlmEmbedding

    return LlmEmbedding.load(path, dtype) or _load_llm(path, dtype)


@functools.cache
def _load_units(path: str) -> CtcUnits:
    from freeze_omni.llm.units import CtcUnits

    return CtcUnits.load(path)
