"""What stages share apart from their parts: the frozen LLM and the CTC units, loaded once a process."""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from freeze_omni.checkpoint import PartsSource
from freeze_omni.config import ConfigError
from freeze_omni.llm.frozen import DTYPES, FrozenLLM, width_of
from freeze_omni.llm.recompute import decoder_layers
from freeze_omni.llm.sharding import load_sharded
from freeze_omni.llm.source import pinned
from freeze_omni.llm.tuned import PART, build_tuning, tuned
from freeze_omni.llm.units import CtcUnits
from freeze_omni.pack import is_pack, llm_source, read_config

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True)
class Resources:
    """Where the LLM and the units are, and how large: parts are built from the sizes alone.

    Raises ConfigError on access to what was not given. loads: whether weights are read; a dry run reads none.
    llm_packing, llm_checkpointing: of a `FrozenLLM`'s passes. llm_sharding: device over whose processes its layers are
    spread; none: every process has all of it.
    """

    llm_path: str | None
    llm_dtype: str
    given_llm_size: int | None
    units_path: str | None
    given_unit_size: int | None
    system: str = ""
    cmvn: str | None = None
    encoder: str | None = None
    loads: bool = True
    llm_packing: bool = True
    llm_checkpointing: bool = False
    llm_sharding: str | None = None

    @classmethod
    def from_options(cls, args: argparse.Namespace) -> Resources:
        """What is not given is taken from the packed model that --init_parts names, if any."""
        llm = pinned(args.llm, args.llm_revision)
        units, unit_size, system = args.units, args.unit_size, args.system
        pack = next((str(s.path) for s in map(PartsSource.parse, args.init_parts or ()) if s.is_pack), None)
        if pack is not None:
            config = read_config(pack)
            llm, system = llm or pack, system or config.system_prompt
            if units is None and unit_size is None:
                units, unit_size = (f"{pack}/units", None) if config.ctc_units else (None, 0)
        return cls(
            llm_path=llm,
            llm_dtype=args.llm_dtype,
            given_llm_size=args.llm_size,
            units_path=units,
            given_unit_size=unit_size,
            system=system,
            cmvn=args.cmvn,
            encoder=args.encoder,
            loads=not args.dry_run,
            llm_packing=args.llm_packing,
            llm_checkpointing=args.llm_checkpointing,
            llm_sharding=("cuda" if args.ngpu else "cpu") if args.llm_sharding else None,
        )

    def _llm_path(self, what: str = "the LLM") -> str:
        if self.llm_path is None:
            raise ConfigError(f"this stage needs {what}: give --llm FOLDER (any transformers causal LM)")
        return self.llm_path

    @property
    def llm(self) -> FrozenLLM:
        return _load_llm(self._llm_path(), self.llm_dtype, self.llm_sharding)

    @property
    def llm_plan(self) -> FrozenLLM:
        """The LLM; in a dry run its architecture alone, on the meta device."""
        path = self._llm_path("the LLM's sizes")
        if self.loads:
            return self.llm
        return FrozenLLM.on_meta(llm_source(path, read_config(path)) if is_pack(path) else path)

    @property
    def embedding(self) -> FrozenLLM | LlmEmbedding:
        """The LLM's tokenizer and input embedding, without the rest of it if that can be left out."""
        return _load_embedding(self._llm_path("the LLM's embedding"), self.llm_dtype) or self.llm

    @property
    def units(self) -> CtcUnits:
        if self.units_path is None:
            raise ConfigError("this stage needs the CTC units: give --units FOLDER (stage 3 makes it)")
        return _load_units(self.units_path)

    @property
    def llm_size(self) -> int:
        if self.llm_path is not None:
            if self.loads:
                return self.embedding.hidden_size
            if is_pack(self.llm_path):
                return read_config(self.llm_path).llm_size
            if self.given_llm_size is None or Path(self.llm_path).is_dir():
                return width_of(self.llm_path)
        if self.given_llm_size is None:
            raise ConfigError("the width of the LLM is not known: give --llm FOLDER or --llm_size")
        return self.given_llm_size

    @property
    def unit_size(self) -> int:
        """Number of CTC units, the blank included."""
        if self.units_path is not None:
            return len(self.units)
        if self.given_unit_size is None:
            raise ConfigError("the number of CTC units is not known: give --units FOLDER or --unit_size")
        return self.given_unit_size


class LlmEmbedding(nn.Module):
    """Replaces a FrozenLLM of which only `embed`, `tokenizer` and `hidden_size` are used; never trained or saved."""

    def __init__(self, weight: Tensor, tokenizer: Any):
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.tokenizer = tokenizer

    @classmethod
    def load(cls, folder: str, dtype: str = "float32") -> LlmEmbedding | None:
        """Read one tensor of a model folder; None if that cannot be done (then the whole LLM has to be loaded)."""
        if not Path(folder).is_dir():
            return None
        plan = FrozenLLM.on_meta(folder)
        table = plan.model.get_input_embeddings()
        if type(table) is not nn.Embedding:  # such as Gemma's, which scales
            return None
        name = next(name for name, weight in plan.model.named_parameters() if weight is table.weight)
        if (file := _file_of(Path(folder), name)) is None:
            return None
        with safe_open(file, framework="pt") as tensors:
            if name not in tensors.keys():
                return None
            weight = tensors.get_tensor(name)
        return cls(weight.to(DTYPES.get(dtype, weight.dtype)), plan.tokenizer)

    @property
    def hidden_size(self) -> int:
        return self.weight.shape[1]

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids (...) to embeddings (..., E)."""
        return torch.nn.functional.embedding(ids, self.weight)


def _file_of(folder: Path, name: str) -> Path | None:
    if (folder / SINGLE).exists():
        return folder / SINGLE
    index = folder / INDEX
    file = json.loads(index.read_text(encoding="utf-8"))["weight_map"].get(name) if index.exists() else None
    return file and folder / file


@functools.cache
def _load_llm(path: str, dtype: str, sharding: str | None) -> FrozenLLM:
    """path: of a model, or of a packed folder, whose chat template is then used."""
    source, texts = path, None
    if is_pack(path):
        config = read_config(path)
        source, texts = llm_source(path, config), config.chat
    load = functools.partial(FrozenLLM.load, source, dtype=dtype, texts=texts)
    return load() if sharding is None else load_sharded(load, sharding)


@functools.cache
def _load_embedding(path: str, dtype: str) -> LlmEmbedding | None:
    return None if is_pack(path) else LlmEmbedding.load(path, dtype)


_load_units = functools.cache(CtcUnits.load)


def tuning_part(config: Any, resources: Resources) -> dict[str, nn.Module]:
    """{llm_tuning: module} if the configuration has that key, otherwise nothing. Raises ConfigError for a wrong LLM."""
    if config.llm_tuning is None:
        return {}
    try:
        return {PART: build_tuning(config.llm_tuning, resources.llm_plan)}
    except ValueError as error:
        raise ConfigError(f"llm_tuning: {error}") from None


def stage_llm(parts: Mapping[str, nn.Module], resources: Resources) -> FrozenLLM:
    """The LLM of a stage: with what was learned with it, if anything (see `llm/tuned.py`), and as its passes are to be.

    Raises LlmError: an LLM whose layers are not known, and so cannot be computed again.
    """
    llm = resources.llm
    llm.packing, llm.checkpointing = resources.llm_packing, resources.llm_checkpointing
    if llm.checkpointing:
        decoder_layers(llm.model.get_decoder())
    return tuned(llm, parts.get(PART))
