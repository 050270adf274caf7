"""Memory of the gradient through the frozen LLM: its layers keep their input alone, and are computed again in backward.

transformers does so in train mode only, and the LLM is never in train mode.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from freeze_omni.llm.source import LlmError


def decoder_layers(decoder: nn.Module) -> list[Any]:
    """The layers of any transformers decoder, without those inside another one. Raises LlmError if there are none."""
    found = {name: module for name, module in decoder.named_modules() if isinstance(module, GradientCheckpointingLayer)}
    inside = tuple(f"{name}." for name in found)
    layers = [layer for name, layer in found.items() if not name.startswith(inside)]
    if not layers:
        found_none = f"{type(decoder).__name__} has no layers that transformers can checkpoint"
        raise LlmError(f"{found_none}: leave llm_checkpointing and llm_sharding out")
    return layers


@contextmanager
def recomputed(decoder: nn.Module, applied: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Inside, the decoder's layers keep their input alone.

    applied: what is around the pass, and so has to be around a layer that is computed again. A layer's `forward` is
    replaced, not its call, so that hooks (of sharded weights) stay outside. Raises LlmError as `decoder_layers`.
    """
    layers = decoder_layers(decoder)
    for layer in layers:
        layer.forward = partial(
            checkpoint,
            layer.forward,
            use_reentrant=False,
            preserve_rng_state=False,  # nothing is random in a frozen model
            context_fn=lambda: (nullcontext(), applied()),
        )
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward
