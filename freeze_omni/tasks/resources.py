"""What stages share beside their parts: the frozen LLM and the CTC units, loaded once a process."""

from __future__ import annotations

import argparse
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freeze_omni.checkpoint import PartsSource
from freeze_omni.config import ConfigError
from freeze_omni.pack import is_pack, llm_source, read_config

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
        """What is not given is taken from the packed model that --init_parts names, if there is one."""
        llm, units, unit_size, system = _of_pack(args)
        return cls(llm, args.llm_dtype, args.llm_size, units, unit_size, system, args.cmvn)

    @classmethod
    def sizes_only(cls, args: argparse.Namespace) -> Resources:
        """For a dry run: weights are not read."""
        llm, units, unit_size, _ = _of_pack(args)
        return cls(llm, args.llm_dtype, args.llm_size, units, unit_size, loads=False)

    @property
    def llm(self) -> FrozenLLM:
        if self.llm_path is None:
            raise ConfigError("this stage needs the LLM: give --llm FOLDER (any transformers causal LM)")
        return _load_llm(self.llm_path, self.llm_dtype)

    @property
    def llm_plan(self) -> FrozenLLM:
        """The LLM; in a dry run its architecture alone, on the meta device."""
        if self.loads:
            return self.llm
        if self.llm_path is None:
            raise ConfigError("what is learned beside the LLM has its sizes: give --llm FOLDER")
        from freeze_omni.llm.frozen import FrozenLLM

        pack = is_pack(self.llm_path)
        return FrozenLLM.on_meta(llm_source(self.llm_path, read_config(self.llm_path)) if pack else self.llm_path)

    @property
    def embedding(self) -> FrozenLLM | LlmEmbedding:
        """The LLM's tokenizer and input embedding, without the rest of it where that can be left out."""
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
        if self.llm_path is not None:
            if is_pack(self.llm_path):
                return read_config(self.llm_path).llm_size
            if (Path(self.llm_path) / "config.json").exists():
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


def _of_pack(args: argparse.Namespace) -> tuple[str | None, str | None, int | None, str]:
    """llm, units, unit_size and system of the command line, completed from a packed model in --init_parts."""
    packs = [source.path for source in map(PartsSource.parse, args.init_parts or ()) if source.is_pack]
    llm, units, unit_size, system = args.llm, args.units, args.unit_size, args.system
    if packs:
        llm = llm or str(packs[0])
        config = read_config(packs[0])
        system = system or config.system_prompt
        if units is None and unit_size is None:
            units, unit_size = (str(packs[0] / "units"), None) if config.ctc_units else (None, 0)
    return llm, units, unit_size, system


@functools.cache
def _load_llm(path: str, dtype: str) -> FrozenLLM:
    """path: of a model, or of a packed folder, whose chat template is then used."""
    from freeze_omni.llm.frozen import FrozenLLM

    if is_pack(path):
        config = read_config(path)
        return FrozenLLM.load(llm_source(path, config), dtype=dtype, device="cpu", texts=config.chat)
    return FrozenLLM.load(path, dtype=dtype, device="cpu")


@functools.cache
def _load_embedding(path: str, dtype: str) -> FrozenLLM | LlmEmbedding:
    from freeze_omni.tasks.llm_embedding import LlmEmbedding

    if is_pack(path):
        return _load_llm(path, dtype)
    return LlmEmbedding.load(path, dtype) or _load_llm(path, dtype)


@functools.cache
def _load_units(path: str) -> CtcUnits:
    from freeze_omni.llm.units import CtcUnits

    return CtcUnits.load(path)
