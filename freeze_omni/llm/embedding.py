"""The LLM's input embedding alone: all that stage 2.2 needs of a model that may fill a GPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from freeze_omni.llm.frozen import DTYPES, FrozenLLM

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


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
    if not (folder / INDEX).exists():
        return None
    file = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].get(name)
    return file and folder / file
