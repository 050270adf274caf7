"""An LLM in a GGUF file, computed by llama.cpp: for sessions and evaluations on a CPU.

Configuration, tokenizer and chat template are those of the LLM's transformers folder, whose weights are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from freeze_omni.llm.chat import ChatTemplate, ChatTexts
from freeze_omni.llm.check import FIX
from freeze_omni.llm.engine import LlmOutput, context_positions, end_ids, scaled
from freeze_omni.llm.frozen import FrozenLLM, read_config, read_generation
from freeze_omni.llm.gguf_file import GgufFile
from freeze_omni.llm.llama_context import LlamaContext, SequenceRow
from freeze_omni.llm.llama_library import MOST_SEQUENCES, errors, library
from freeze_omni.llm.order import ReadingOrder
from freeze_omni.llm.source import LlmError, check_source, read_tokenizer

LARGEST_ERROR = 0.1
"""Of hidden states of embeddings beside those of tokens, and of logits beside llama.cpp's own, as a share of their
size: states are rounded to 8 bits before they meet quantised weights."""


LEAST_LIKENESS = 0.9
"""Mean cosine of hidden states to those of the LLM's own weights: SmolLM2-135M in 4 bits has .99."""


class LlamaCache:
    """What was read of one dialogue, or of the rows of a batch: a sequence for each. See `llm.engine.Cache`."""

    def __init__(self, context: LlamaContext, rows: Sequence[SequenceRow] = ()) -> None:
        """rows: none until the first positions are read."""
        self._context, self._rows = context, list(rows)

    @property
    def length(self) -> int:
        """Positions in the cache; of a batch, of its longest row."""
        return max((row.length for row in self._rows), default=0)

    def rows(self, count: int = 1) -> list[SequenceRow]:
        """Its sequences, opened now if nothing was read. Raises ValueError for another number of rows."""
        self._rows = self._rows or [SequenceRow(self._context) for _ in range(count)]
        if len(self._rows) != count:
            raise ValueError(f"a cache of {len(self._rows)} rows cannot read {count}")
        return self._rows

    def fork(self) -> LlamaCache:
        """An independent copy, which shares the memory of what was read so far."""
        return LlamaCache(self._context, [row.fork() for row in self._rows])

    def cut(self, length: int) -> None:
        for row in self._rows:
            row.cut(length)

    def pick(self, rows: Tensor) -> None:
        """Keep the rows of the index tensor, in its order."""
        kept = rows.tolist()
        new = [index in kept[:number] for number, index in enumerate(kept)]  # a row that is kept twice is copied
        self._rows = [
            self._rows[index].fork() if again else self._rows[index] for index, again in zip(kept, new, strict=True)
        ]


class LlamaCppLLM:
    """See `llm.engine.LlmEngine`. Frozen by its nature; embeddings and logits are those of the file."""

    own_positions = 0
    most_dialogues = MOST_SEQUENCES // 3  # a dialogue's, its open turn's and a draft's
    forks_share = True

    def __init__(self, file: GgufFile, config: Any, tokenizer: Any, source: str, chat: ChatTexts | None = None):
        """Opens the model. Raises LlmError if llama.cpp cannot."""
        self.file, self.config, self.tokenizer, self.source = file, config, tokenizer, source
        self.given_chat = chat is not None
        self.chat = ChatTemplate.from_tokenizer(tokenizer) if chat is None else ChatTemplate(tokenizer, chat)
        self._generation = read_generation(source)
        lib = library()
        errors()
        model = lib.llama_model_load_from_file(str(file.path).encode(), lib.llama_model_default_params())
        if not model:
            raise LlmError(f"{file.path}: llama.cpp cannot read it: {errors()}")
        for kind in ("has_encoder", "is_recurrent", "is_hybrid", "is_diffusion"):
            if getattr(lib, f"llama_model_{kind}")(model):
                lib.llama_model_free(model)
                raise LlmError(f"{file.path}: llama.cpp says that this LLM {kind.replace('_', ' ')}; {FIX}")
        tokens = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
        self.context = LlamaContext(model, (lib.llama_model_n_embd(model), tokens))

    @classmethod
    def load(cls, gguf: str | Path, source: str | Path, texts: ChatTexts | None = None) -> LlamaCppLLM:
        """gguf: the file. source: folder or hub id of the transformers LLM that it was made of. texts: a chat template
        in place of its own.

        Raises LlmError: `freeze_omni[llama]` is not installed, no such file, a file of another LLM, or one whose
        embeddings, as an input, are not read as the tokens are.
        """
        file, source = GgufFile(gguf), check_source(source)
        config, tokenizer = read_config(source).get_text_config(decoder=True), read_tokenizer(source)
        file.check(config, tokenizer, source)
        llm = cls(file, config, tokenizer, source, texts)
        llm.check_reading()
        return llm

    @property
    def plain(self) -> LlamaCppLLM:
        return self

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def context_positions(self) -> int:
        return context_positions(self.config)

    @property
    def order(self) -> ReadingOrder:
        return ReadingOrder(self.chat)

    @property
    def hidden_size(self) -> int:
        return self.config.hidden_size

    @property
    def vocab_size(self) -> int:
        return self.file.vocab_size

    @property
    def end_ids(self) -> frozenset[int]:
        return end_ids(self.chat, self.tokenizer, self._generation, self.given_chat)

    def new_cache(self) -> LlamaCache:
        return LlamaCache(self.context)

    def embed(self, ids: Tensor) -> Tensor:
        return self.file.embeddings(ids)

    def __call__(
        self, embeds: Tensor, mask: Tensor | None = None, cache: LlamaCache | None = None
    ) -> tuple[Tensor, LlamaCache | None]:
        """As FrozenLLM: (B, P, E) to (B, P, E), zeros at the padding, without gradient. mask (B, P): padding is on the
        right."""
        size = embeds.shape[1]
        sizes = [size] * len(embeds) if mask is None else mask.sum(1).tolist()
        rows = (self.new_cache() if cache is None else cache).rows(len(embeds))
        read = [number for number, count in enumerate(sizes) if count]
        if not read:
            return torch.zeros_like(embeds), cache
        found = self.context.read(
            [rows[number] for number in read], [_plain(embeds[number, : sizes[number]]) for number in read], last=False
        )[0]
        states = dict(zip(read, found, strict=True))
        nothing = torch.empty(0, self.hidden_size)
        padded = [_padded(states.get(number, nothing), size) for number in range(len(embeds))]
        return torch.stack(padded), cache

    def read_rows(self, embeds: Sequence[Tensor], caches: Sequence[LlamaCache]) -> list[Tensor]:
        return self.context.read([cache.rows()[0] for cache in caches], [_plain(row) for row in embeds], last=False)[0]

    def follow_rows(
        self, embeds: Sequence[Tensor], caches: Sequence[LlamaCache], asked: Sequence[bool]
    ) -> list[LlmOutput]:
        rows = [cache.rows()[0] for cache in caches]
        hidden, logits = self.context.read(rows, [_plain(row) for row in embeds], last=True, logits=any(asked))
        return [
            LlmOutput(state[0].clone(), logits[row][0].clone() if asked[row] else None)
            for row, state in enumerate(hidden)
        ]

    def logits(self, hidden: Tensor, ids: Sequence[int] | None = None) -> Tensor:
        """As FrozenLLM. Of all tokens this is slow: `follow_rows` has those that llama.cpp computes anyhow."""
        return scaled(self.file.products(hidden, ids), self.config)

    def fingerprint(self) -> str:
        """sha256 of the file."""
        return self.file.fingerprint()

    def check_same(self, llm: FrozenLLM) -> None:
        """Raise LlmError if this is no quantised form of `llm`: its hidden states are too far from these."""
        ids = self._probe()
        (ours,), theirs = self.read_rows([self.embed(ids)], [self.new_cache()]), llm(llm.embed(ids)[None])[0][0]
        likeness = float(nn.functional.cosine_similarity(ours, theirs.float().cpu(), dim=-1).mean())
        if not likeness >= LEAST_LIKENESS:
            found = f"its states are not those of {llm.source} (cosine {likeness:.2f}, not {LEAST_LIKENESS} or more)"
            raise LlmError(f"{self.file.path}: {found}; give a GGUF file that was made of it, or one of more bits")

    def _probe(self) -> Tensor:
        return torch.tensor(self.chat.dialogue("You are helpful.", [("Hello, who are you?", None)]))

    def check_reading(self) -> None:
        """Raise LlmError if embeddings are not read as the tokens are, or logits are not those of `logits`."""
        ids = self._probe()
        row, other = SequenceRow(self.context), SequenceRow(self.context)
        (by_id,), (scores,) = self.context.read([row], [ids.int()], last=True, logits=True)
        (by_embedding,), _ = self.context.read([other], [self.embed(ids)], last=True)
        size = min(scores.shape[-1], self.vocab_size)
        for what, found, expected in (
            ("reads embeddings not as their tokens", by_embedding, by_id),
            ("has logits of its own", self.logits(by_id)[:, :size], scores[:, :size]),
        ):
            error = float((found - expected).norm() / expected.norm())
            if not error <= LARGEST_ERROR:
                kind = self.file.field("general.architecture")
                raise LlmError(f"{self.file.path}: llama.cpp's {kind} {what} ({error:.0%}): use float32 or int8")


def _plain(embeds: Tensor) -> Tensor:
    return embeds.detach().to("cpu", torch.float32)


def _padded(states: Tensor, size: int) -> Tensor:
    return nn.functional.pad(states, (0, 0, 0, size - len(states)))
