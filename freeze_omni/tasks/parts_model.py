"""A model of named parts, of which a training stage trains some and keeps the others frozen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from espnet2.train.abs_espnet_model import AbsESPnetModel
from torch import Tensor, nn

Result = tuple[Tensor, dict[str, Tensor], Tensor]
"""Loss, statistics, weight."""


class PartsModel(AbsESPnetModel):
    """The base of the models of all stages.

    parts: submodules by name, the prefix in every checkpoint. The frozen ones, the LLM among them, stay in eval mode
    and need no gradient. trained: names of parts, or of modules inside one (`speech_decoder.prefix`); a checkpoint
    holds the parts in which something is trained, and `kept`, frozen ones.
    """

    kept: tuple[str, ...] = ()

    def __init__(self, parts: Mapping[str, nn.Module], trained: tuple[str, ...]):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.trained = trained
        known = {*dict(self.named_modules()), *dict(self.named_parameters())}
        if unknown := set(trained) - known:
            raise ValueError(f"no such parts to train: {', '.join(sorted(unknown))}")
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and self._learns(name))
        self.train(self.training)

    autocast: torch.dtype | None = None  # type of forward's arithmetic in training; None: the weights' own
    progress: float = 0.0  # share of the training done so far, set by the trainer before every batch

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        kind = next(self.parameters()).device.type
        with torch.autocast(kind, self.autocast, enabled=self.training and self.autocast is not None):
            return super().__call__(*args, **kwargs)

    @property
    def _ddp_params_and_buffers_to_ignore(self) -> list[str]:
        """Read by DistributedDataParallel, which would send all weights at the start and all buffers before each pass:
        each process has read the LLM itself, or its share of it."""
        llm = getattr(self, "llm", None)
        names = [] if llm is None else [name for name, _ in (*llm.named_parameters(), *llm.named_buffers())]
        return [f"llm.{name}" for name in names]

    @property
    def saved(self) -> set[str]:
        return {*self.kept, *(name.split(".")[0] for name in self.trained)}

    def train(self, mode: bool = True) -> PartsModel:
        super().train(mode)
        for name, module in self.named_modules():
            holds_learner = any(part.startswith(name + ".") for part in self.trained)
            if name and not self._learns(name) and not holds_learner:
                module.training = False
        return self

    def to(self, *args: Any, **kwargs: Any) -> PartsModel:
        """As usual, but the LLM keeps its own type (ESPnet would make float32 of a bfloat16 LLM)."""
        device, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)
        for name, child in self.named_children():
            child.to(device=device, dtype=None if name == "llm" else dtype)
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Only the parts in which something is trained."""
        start, state = len(kwargs.get("prefix", "")), super().state_dict(*args, **kwargs)
        for key in [key for key in state if key[start:].split(".")[0] not in self.saved]:
            del state[key]
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Strict about the saved parts only: a checkpoint has no others."""
        result = super().load_state_dict(state_dict, strict=False, assign=assign)
        missing = [key for key in result.missing_keys if key.split(".")[0] in self.saved]
        if strict and (missing or result.unexpected_keys):
            raise RuntimeError(f"checkpoint lacks {missing}, and has unknown {result.unexpected_keys}")
        return result

    def collect_feats(self, **batch: Tensor) -> dict[str, Tensor]:
        return {}

    def _learns(self, name: str) -> bool:
        return any(name == part or name.startswith(part + ".") for part in self.trained)


def training_result(loss: Tensor, stats: Mapping[str, Tensor | float], rows: int) -> Result:
    """Loss, detached stats (with the loss, unless they have one) and weight, each (1,), for ESPnet to average."""
    tensors = {key: torch.as_tensor(value, dtype=loss.dtype, device=loss.device) for key, value in stats.items()}
    values = {key: value.detach().reshape(1) for key, value in ({"loss": loss} | tensors).items()}
    return loss.reshape(1), values, torch.tensor([float(rows)], device=loss.device)


def pairs(batch: Mapping[str, Tensor], *names: str) -> list[tuple[Tensor, Tensor]]:
    """Each entry of a batch with its lengths (B,)."""
    return [(batch[name], batch[f"{name}_lengths"]) for name in names]


def sound_of(batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The batch's samples (B, S), or the features (B, F, D) of a frozen frontend, with their lengths (B,)."""
    return pairs(batch, "feats" if "feats" in batch else "speech")[0]


def parameter_count(module: nn.Module) -> int:
    """Parameters of a module, shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters())
