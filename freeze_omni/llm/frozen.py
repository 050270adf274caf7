"""The frozen LLM (paper section 3: the backbone is frozen through all stages)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from freeze_omni.hub import loading
from freeze_omni.llm.batch import filling, read_packed
from freeze_omni.llm.cache import LlmCache, PassLayer, cache_argument
from freeze_omni.llm.chat import ChatTemplate, ChatTexts
from freeze_omni.llm.check import check_architecture, check_reading, check_weights
from freeze_omni.llm.engine import LlmOutput, context_positions, end_ids, scaled
from freeze_omni.llm.order import ReadingOrder
from freeze_omni.llm.recompute import recomputed
from freeze_omni.llm.source import LlmError, check_source, read_tokenizer, told
from freeze_omni.quantised import FewBits, quantise

QUANTISED: dict[str, FewBits] = {"int8": "int8", "float16_weights": "float16"}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class FrozenLLM(nn.Module):
    """Any transformers causal LM, as a function of input embeddings, to which gradients flow through it.

    It is never in train mode, its parameters require no gradient, and it is in no state dict: a model that holds it
    saves no key of it, and loads strictly all the same.
    """

    most_dialogues = 2**31  # caches take memory as they grow
    forks_share = False
    own_positions = 0  # of the context, taken before anything is read
    packing = True  # of passes over rows of different lengths: only their real positions are computed
    checkpointing = False  # of passes with gradient: layers keep their input alone, and are computed again

    def __init__(
        self, model: nn.Module, tokenizer: Any = None, source: str = "", chat: ChatTemplate | None = None
    ) -> None:
        """chat: in place of the tokenizer's own template; then only its end token ends an answer."""
        super().__init__()
        self.model: Any = model.requires_grad_(False)
        self.tokenizer, self.source, self.given_chat = tokenizer, source, chat is not None
        own = chat is None and tokenizer is not None
        self.chat: Any = ChatTemplate.from_tokenizer(tokenizer) if own else chat  # None without a tokenizer
        self._load_prefix = self._fingerprint = ""
        self.register_load_state_dict_post_hook(_forgive_missing)
        self.train(False)

    @classmethod
    def load(
        cls,
        path_or_id: str | Path,
        dtype: str = "float32",
        device: str | torch.device = "cpu",
        texts: ChatTexts | None = None,
    ) -> FrozenLLM:
        """Load from a folder, or from the hub if `path_or_id` is not a path, as USER/NAME or USER/NAME@REVISION.

        dtype: float32, bfloat16, float16, auto (as stored); for sessions on a CPU int8, float32 with its matrices in 8
            bits or 4, or float16_weights, in 16. texts: a chat template in place of its own.
        Raises, before the weights are read, LlmError for a wrong path, a GGUF file, a model that is no causal LM, or
        whose cache is none of keys and values; ChatTemplateError for a tokenizer without chat template. Then LlmError
        for missing weights, or an LLM that `check_reading` refuses.
        """
        source = check_source(path_or_id)
        if dtype not in (*DTYPES, "auto", *QUANTISED):
            raise LlmError(f"unknown LLM dtype '{dtype}', expected {', '.join((*DTYPES, *QUANTISED))} or auto")
        if dtype in QUANTISED and torch.device(device).type != "cpu":
            raise LlmError(f"LLM dtype {dtype} is for CPUs; on {device} take bfloat16")
        config, tokenizer = read_config(source), read_tokenizer(source)
        chat = ChatTemplate.from_tokenizer(tokenizer) if texts is None else ChatTemplate(tokenizer, texts)
        name, options = loading(source)
        plain = "float32" if dtype in QUANTISED else dtype
        with told(source):
            model, report = AutoModelForCausalLM.from_pretrained(
                name, config=config, dtype=DTYPES.get(plain, plain), output_loading_info=True, **options
            )
        check_weights(report, source)
        llm = cls(model.to(device), tokenizer, source, None if texts is None else chat)
        with told(source):
            llm.check_logits()
            check_reading(llm)
            if dtype in QUANTISED:
                llm._fingerprint = llm.fingerprint()  # of what it was trained with
                quantise(llm.model, QUANTISED[dtype])
        return llm

    @classmethod
    def on_meta(cls, path_or_id: str | Path | dict[str, Any]) -> FrozenLLM:
        """The architecture without weights, from a folder, a hub id or what config.json holds. Raises as `load`."""
        if isinstance(path_or_id, dict):
            config = AutoConfig.for_model(**path_or_id)
            tokenizer, source = None, str(path_or_id.get("model_type"))
        else:
            source = check_source(path_or_id)
            config, tokenizer = read_config(source), read_tokenizer(source)
        with told(source), torch.device("meta"):
            return cls(AutoModelForCausalLM.from_config(config), tokenizer, source)

    @property
    def config(self) -> Any:
        return self.model.config.get_text_config(decoder=True)

    @property
    def plain(self) -> FrozenLLM:
        """The LLM without anything that was learned with it (see `llm/tuned.py`)."""
        return self

    @property
    def context_positions(self) -> int:
        """Positions that a dialogue may take; practically endless for an LLM that names no limit."""
        return context_positions(self.config) - self.own_positions

    @property
    def window(self) -> int:
        """Positions that a layer with a sliding window looks back, padding between them included; else endless."""
        slides = any(layer.is_sliding for layer in self.new_cache().layers)
        return (slides and getattr(self.config, "sliding_window", None)) or 2**31

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def order(self) -> ReadingOrder:
        """The order in which a dialogue is read, by the LLM's chat template."""
        return ReadingOrder(self.chat)

    @property
    def hidden_size(self) -> int:
        return self.config.hidden_size

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding, which may be more than the tokenizer has tokens."""
        return self.model.get_input_embeddings().weight.shape[0]

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end an answer: of template, tokenizer and generation config, or of a given template alone."""
        return end_ids(self.chat, self.tokenizer, self.model.generation_config, self.given_chat)

    def train(self, mode: bool = True) -> FrozenLLM:
        """Stays in evaluation mode: no dropout in a frozen model."""
        return super().train(False)

    def new_cache(self) -> LlmCache:
        return LlmCache(self.model.config)

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids (...) to input embeddings (..., E), in the LLM's dtype."""
        return self.model.get_input_embeddings()(ids)

    def forward(
        self, embeds: Tensor, mask: Tensor | None = None, cache: LlmCache | None = None
    ) -> tuple[Tensor, LlmCache | None]:
        """Input embeddings (B, P, E) to hidden states (B, P, E) after the final norm.

        mask: (B, P) bool, True at real positions, padding on the right; None if all are real. Padding may hold
            anything, NaN included, and moves no position of what follows.
        cache: what was read before; the new positions are added to it in place. With a cache no gradient is kept.
        """
        if mask is not None and bool(mask.all()) and (cache is None or cache.mask is None):
            mask = None
        if cache is None:
            again = self.checkpointing and torch.is_grad_enabled()
            with recomputed(self.model.get_decoder(), self.applied) if again else nullcontext():
                return (self._packed if self.packing and mask is not None else self._padded)(embeds, mask), None
        size = embeds.shape[1]
        whole = cache.extend_mask(mask, embeds.shape[0], size)
        positions = None if whole is None else count(whole)[:, -size:]
        with torch.no_grad():
            embeds = _silenced(embeds, mask)
            hidden = self._run(embeds, use_cache=True, cache=cache, attention_mask=whole, position_ids=positions)
        return hidden, cache

    @torch.no_grad()
    def read_rows(self, embeds: Sequence[Tensor], caches: Sequence[LlmCache]) -> list[Tensor]:
        """Dialogues of any age at once: (P_i, E) to (P_i, E), each after its own cache, as it would get alone."""
        with self.applied():
            return read_packed(self.model, embeds, caches)

    @torch.no_grad()
    def follow_rows(
        self, embeds: Sequence[Tensor], caches: Sequence[LlmCache], asked: Sequence[bool]
    ) -> list[LlmOutput]:
        """As `read_rows`, of each row's last position: its hidden state, and where `asked` the logits."""
        hidden = [rows[-1].clone() for rows in self.read_rows(embeds, caches)]
        wanted = [row for row, ask in enumerate(asked) if ask]
        logits: dict[int, Tensor] = {}
        if wanted:
            last = torch.stack([hidden[row] for row in wanted])
            fill = last.new_zeros(filling(len(last)), last.shape[1])
            logits = dict(zip(wanted, self.logits(torch.cat([last, fill])), strict=False))
        return [LlmOutput(state, logits.get(row)) for row, state in enumerate(hidden)]

    def applied(self) -> AbstractContextManager[None]:
        """Inside, the layers compute with what was learned with them, if anything (see `llm/tuned.py`)."""
        return nullcontext()

    def pass_cache(self, rows: int) -> LlmCache:
        """What a single pass of so many rows reads first: nothing."""
        cache = self.new_cache()
        cache.layers = [PassLayer(layer.is_sliding) for layer in cache.layers]
        return cache

    def _packed(self, embeds: Tensor, mask: Tensor) -> Tensor:
        """The real positions alone, all rows in one: no layer computes padding. Zeros at the padding."""
        sizes = [size for size in mask.sum(1).tolist() if size]
        rows, cache = embeds[mask].split(sizes), self.pass_cache(1)
        with self.applied():
            read = torch.cat(read_packed(self.model, rows, [cache] * len(rows)))
        return read.new_zeros(embeds.shape).index_put((mask,), read)  # autocast gives norms a type of their own

    def _padded(self, embeds: Tensor, mask: Tensor | None) -> Tensor:
        arguments = {} if mask is None else {"attention_mask": mask, "position_ids": count(mask)}
        return self._run(_silenced(embeds, mask), use_cache=False, **arguments)

    def _run(self, embeds: Tensor, use_cache: bool, cache: Any = None, **arguments: Any) -> Tensor:
        decoder = self.model.get_decoder()
        if cache is not None:
            arguments |= cache_argument(decoder, cache)
        with self.applied():
            output = decoder(inputs_embeds=embeds.to(self.model.dtype), use_cache=use_cache, **arguments)
        return output.last_hidden_state

    def logits(self, hidden: Tensor, ids: Sequence[int] | None = None) -> Tensor:
        """Hidden states (..., E) after the final norm to scaled and capped logits (..., V); ids: of these alone."""
        logits = scaled(self.model.get_output_embeddings()(hidden.to(self.model.dtype)), self.config)
        return logits if ids is None else logits[..., list(ids)]

    @torch.no_grad()
    def check_logits(self) -> None:
        """Raise LlmError if the architecture's logits are not those of `logits`."""
        ids = torch.tensor([[next(iter(self.end_ids), 0)]], device=self.model.device)
        ours = self.logits(self(self.embed(ids))[0]).float()
        theirs = self.model(ids, use_cache=False).logits.float()
        if not torch.allclose(ours, theirs, rtol=0.02, atol=0.02 * float(theirs.abs().max())):
            found = f"logits of {type(self.model).__name__} are not its head's output"
            raise LlmError(f"{self.source}: {found}; add what it does to FrozenLLM.logits")

    def fingerprint(self) -> str:
        """sha256 over names, shapes, dtypes and bytes of all weights; of quantised ones as they were read; of sharded
        ones by all processes together."""
        if self._fingerprint:
            return self._fingerprint
        digest = hashlib.sha256()
        for name, weight in sorted(self.model.named_parameters()):
            digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}\n".encode())
            weight = weight.full_tensor() if isinstance(weight, DTensor) else weight
            digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()

    def state_dict(self, *args: Any, destination: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Nothing: checkpoints hold what was trained."""
        return {} if destination is None else destination

    def _load_from_state_dict(
        self, state_dict, prefix, metadata, strict, missing_keys, unexpected_keys, error_msgs
    ) -> None:
        self._load_prefix = prefix
        for key in [key for key in state_dict if key.startswith(prefix)]:
            state_dict.pop(key)  # or the children would take it
            unexpected_keys.append(key)


def _forgive_missing(llm: FrozenLLM, incompatible: Any) -> None:
    missing = incompatible.missing_keys
    missing[:] = [key for key in missing if not key.startswith(llm._load_prefix)]


def _silenced(embeds: Tensor, mask: Tensor | None) -> Tensor:
    return embeds if mask is None else embeds.masked_fill(~mask[..., None], 0)


def count(mask: Tensor) -> Tensor:
    """Position ids (B, P) of the real positions of a mask; padding repeats its neighbour's."""
    return (mask.long().cumsum(1) - 1).clamp_(min=0)


def read_config(source: str) -> Any:
    """The transformers configuration of a checked source. Raises LlmError as `check_architecture`."""
    name, options = loading(source)
    with told(source):
        config = AutoConfig.from_pretrained(name, **options)
        check_architecture(config, source)
    return config


def read_generation(source: str) -> Any:
    """The generation configuration of a checked source; None without one."""
    name, options = loading(source)
    try:
        return GenerationConfig.from_pretrained(name, **options)
    except OSError:
        return None


def width_of(path_or_id: str | Path) -> int:
    """Width of an LLM, of which only the configuration is read. Raises LlmError as `read_config`."""
    source = check_source(path_or_id)
    with told(source):
        return read_config(source).get_text_config(decoder=True).hidden_size
