"""A GGUF file: what it says of its LLM, and its tables of embeddings, of which only the rows asked for are unpacked."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from freeze_omni.llm.llama_library import GGUF_KINDS, GgufParams, errors, library
from freeze_omni.llm.source import LlmError

FEW_TOKENS = 0.99
"""Share of the tokens that must be the tokenizer's: files name unused and added ones in ways of their own."""
_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"
_BLOCK_ROWS = 8192


class GgufFile:
    """Raises LlmError: no such file, no GGUF, one of several pieces, or without a table of embeddings."""

    def __init__(self, path: str | Path) -> None:
        self.path, lib = Path(path).expanduser(), library()
        if not self.path.is_file():
            raise LlmError(f"{path}: no such file; give a GGUF file of the LLM that the model was trained with")
        errors()
        self._contents = lib.gguf_init_from_file(str(self.path).encode(), GgufParams(no_alloc=True))
        if not self._contents:
            raise LlmError(f"{path}: no GGUF file that can be read ({errors()}); fetch it again")
        weakref.finalize(self, lib.gguf_free, self._contents).atexit = False
        if (self.field("split.count") or 1) > 1:
            raise LlmError(f"{path}: one of several pieces; join them (llama-gguf-split --merge) and give the whole")
        if (table := self._table(_EMBEDDING)) is None:
            raise LlmError(f"{path}: has no {_EMBEDDING}: no file of an LLM; give one")
        self._embedding, self._output = table, self._table(_OUTPUT) or table
        self.vocab_size = len(table.rows)

    def field(self, name: str) -> Any:
        """A number or text of the file's metadata; None if it has none. `{arch}` stands for the architecture."""
        if name.startswith("{arch}"):
            name = name.replace("{arch}", str(self.field("general.architecture")))
        lib, key = library(), library().gguf_find_key(self._contents, name.encode())
        kind = GGUF_KINDS.get(lib.gguf_get_kv_type(self._contents, key)) if key >= 0 else None
        if kind is None:
            return None
        found = getattr(lib, f"gguf_get_val_{kind}")(self._contents, key)
        return found.decode(errors="replace") if isinstance(found, bytes) else found

    def tokens(self) -> list[str]:
        """Of its tokenizer; none if the file has none."""
        lib, key = library(), library().gguf_find_key(self._contents, b"tokenizer.ggml.tokens")
        if key < 0:
            return []
        count = lib.gguf_get_arr_n(self._contents, key)
        return [lib.gguf_get_arr_str(self._contents, key, n).decode(errors="replace") for n in range(count)]

    def _table(self, name: str) -> _Table | None:
        lib, number = library(), library().gguf_find_tensor(self._contents, name.encode())
        if number < 0:
            return None
        start = lib.gguf_get_data_offset(self._contents) + lib.gguf_get_tensor_offset(self._contents, number)
        size, count = (
            lib.gguf_get_tensor_size(self._contents, number),
            lib.gguf_get_tensor_ne(self._contents, number)[1],
        )
        if start + size > self.path.stat().st_size:
            raise LlmError(f"{self.path}: is cut off in {name}; fetch it again")
        data = np.memmap(self.path, mode="r", offset=start, shape=(count, size // count))
        return _Table(data, lib.gguf_get_tensor_type(self._contents, number))

    def embeddings(self, ids: Tensor) -> Tensor:
        """Ids (...) to rows (..., E) of the embedding, float32."""
        rows = self._embedding.unpacked(ids.reshape(-1).numpy())
        return rows.reshape(*ids.shape, rows.shape[-1])

    def products(self, hidden: Tensor, ids: Sequence[int] | None) -> Tensor:
        """Hidden states (..., E) times the output matrix, or times its rows `ids`. All rows take a good part of a
        second: they are unpacked, block by block, and not kept."""
        rows = np.arange(self.vocab_size) if ids is None else np.asarray(ids)
        blocks = [rows[start : start + _BLOCK_ROWS] for start in range(0, len(rows), _BLOCK_ROWS)]
        return torch.cat([hidden.float() @ self._output.unpacked(block).T for block in blocks], dim=-1)

    def fingerprint(self) -> str:
        """sha256 of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def check(self, config: Any, tokenizer: Any, source: str) -> None:
        """Raise LlmError if the file cannot be of the LLM whose transformers configuration and tokenizer these are."""
        other = f"{self.path}: no file of {source}"
        fix = "give a GGUF file that was made of it"
        sizes = {
            "{arch}.embedding_length": config.hidden_size,
            "{arch}.block_count": config.num_hidden_layers,
            "{arch}.attention.head_count": config.num_attention_heads,
        }
        for name, expected in sizes.items():
            found = self.field(name)
            if found != expected:
                raise LlmError(f"{other}: its {name.partition('.')[2]} is {found}, not {expected}; {fix}")
        if self.vocab_size < len(tokenizer):
            raise LlmError(f"{other}: it has {self.vocab_size} tokens, and its tokenizer {len(tokenizer)}; {fix}")
        tokens = self.tokens()
        expected = tokenizer.convert_ids_to_tokens(range(min(len(tokens), len(tokenizer))))
        differing = [number for number, (one, two) in enumerate(zip(tokens, expected, strict=False)) if one != two]
        if len(differing) > (1 - FEW_TOKENS) * len(tokenizer) or not tokens:
            first = f"token {differing[0]} is {tokens[differing[0]]!r}" if differing else "it names no tokens"
            raise LlmError(f"{other}: {first}{f', not {expected[differing[0]]!r}' if differing else ''}; {fix}")


@dataclass(frozen=True)
class _Table:
    """A matrix in the file's own type, a row of bytes for each of its rows."""

    rows: np.ndarray
    kind: int

    def unpacked(self, rows: np.ndarray) -> Tensor:
        """(n, width) float32."""
        from gguf import GGMLQuantizationType, dequantize  # of the extra, as `library`

        found = dequantize(np.ascontiguousarray(self.rows[rows]), GGMLQuantizationType(self.kind))
        return torch.from_numpy(np.array(found, dtype=np.float32))
