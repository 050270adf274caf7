"""Whether an LLM can be the frozen backbone: first by its configuration, then by a few short passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from freeze_omni.llm.cache import GrowingLayer, LlmCache
from freeze_omni.llm.source import LlmError

if TYPE_CHECKING:
    from freeze_omni.llm.frozen import FrozenLLM

FIX = "use an LLM that is attention in every layer"
OTHER = "use another LLM (docs/add_a_part.md)"
LARGEST_ERROR = {torch.float32: 0.01, torch.float64: 0.01}  # of hidden states, as a share of their size
LARGEST_ERROR_OF_HALVES = 0.2  # a mixture of experts may choose another one
PROBE, FIRST = 9, 5  # positions of the passes


def check_architecture(config: Any, source: str) -> None:
    """By the transformers configuration, before weights are read.

    Raises LlmError: an encoder-decoder, or layers whose cache cannot be forked, cut back and batched, as each session
    needs: a state that is overwritten (Mamba, linear attention, convolutions), keys of other layers, or chunks.
    """
    if getattr(config, "is_encoder_decoder", False):
        raise LlmError(f"{source}: {config.model_type} is an encoder-decoder; use a model that is a decoder alone")
    text = config.get_text_config(decoder=True)
    unfit = f"{source}: {text.model_type} has layers whose cache cannot be forked, cut back and batched"
    try:
        layers = LlmCache(config).layers
    except KeyError as error:
        raise LlmError(f"{unfit}: of kind {error}; {FIX}") from None
    kinds = getattr(text, "layer_types", None) or ["full_attention"] * len(layers)
    bad: Counter[str] = Counter()
    for layer, kind in zip(layers, kinds, strict=False):
        if kind == "chunked_attention":
            bad[kind] += 1
        elif not isinstance(layer, GrowingLayer):
            bad[f"{type(layer).__name__} ({kind})"] += 1
    if bad:
        found = ", ".join(f"{count} of {len(layers)} are {kind}" for kind, count in bad.items())
        raise LlmError(f"{unfit}: {found}; {FIX}")


def check_weights(report: dict[str, Any], source: str) -> None:
    """By what `from_pretrained` reports. Raises LlmError for weights that are missing, and so random."""
    wrong = {key: sorted(map(str, report.get(key) or ())) for key in ("missing_keys", "mismatched_keys")}
    for key, names in wrong.items():
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            kind = key.partition("_")[0]
            raise LlmError(f"{source}: {kind} weights: {', '.join(names[:3])}{more}; fetch the model again")


@torch.no_grad()
def check_reading(llm: FrozenLLM) -> None:
    """By short passes: whatever is read in pieces, after a fork, after a cut or in a batch is read as all at once.

    Raises LlmError for an LLM of which that is not so, such as one that looks ahead, or whose positions follow from
    something else than its cache.
    """
    name = f"{llm.source}: {type(llm.model).__name__}"
    embeds = _probe(llm)
    if embeds.shape[-1] != llm.hidden_size:
        raise LlmError(f"{name} has embeddings of width {embeds.shape[-1]} and states of width {llm.hidden_size}")
    before = llm.config._attn_implementation
    limit = LARGEST_ERROR.get(llm.model.dtype, LARGEST_ERROR_OF_HALVES)
    try:
        for way, found, expected in _passes(llm, embeds):
            error = float((found - expected).float().norm() / expected.float().norm())
            if not error <= limit:  # or no number
                raise LlmError(f"{name} does not read {way} as all at once (they differ by {error:.0%}); {OTHER}")
    except LlmError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        if getattr(llm.config, "kv_lora_rank", None):
            said = "its cache holds compressed keys (MLA)"
        raise LlmError(
            f"{name} cannot be read in pieces and batches: {type(error).__name__}: {said}; {OTHER}"
        ) from error
    finally:
        llm.config._attn_implementation = before  # packed passes switch it when they are first needed


def _probe(llm: FrozenLLM) -> Tensor:
    """(1, PROBE, E) embeddings of tokens that the LLM knows."""
    ids = llm.chat.dialogue("You are helpful.", [("Hello, who are you?", None)]) if llm.chat else list(range(PROBE))
    repeated = ids * -(-PROBE // len(ids))
    return llm.embed(torch.tensor([repeated[:PROBE]], device=llm.model.device))


def _passes(llm: FrozenLLM, embeds: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """What is read in which way, and what is expected."""
    whole, cache = llm(embeds)[0], llm.new_cache()
    yield "a beginning", llm(embeds[:, :FIRST], cache=cache)[0], whole[:, :FIRST]
    fork = cache.fork()
    cache.cut(FIRST - 2)
    yield "after a cut", llm(embeds[:, FIRST - 2 :], cache=cache)[0], whole[:, FIRST - 2 :]
    old, new = llm.read_rows([embeds[0, FIRST:], embeds[0]], [fork, llm.new_cache()])
    yield "a batch of dialogues", torch.cat([old, new]), torch.cat([whole[0, FIRST:], whole[0]])
    if llm.window < PROBE:
        return  # batches of such lengths are not padded
    both, batch = torch.cat([embeds, embeds]), llm.new_cache()
    mask = torch.ones(2, FIRST, dtype=torch.bool, device=embeds.device)
    mask[1, FIRST - 2 :] = False
    padded = llm(both[:, :FIRST], mask, batch)[0]
    yield "a padded row", padded[1, : FIRST - 2], whole[0, : FIRST - 2]
    batch.pick(torch.tensor([1], device=embeds.device))
    yield "after padding", llm(embeds[:, FIRST - 2 :], cache=batch)[0], whole[:, FIRST - 2 :]
