"""Sequences of a llama.cpp context: read, fork, cut, and released when nobody holds them."""

from __future__ import annotations

import ctypes
import gc
import threading
import weakref
from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from freeze_omni.llm.llama_library import MOST_SEQUENCES, NO_ROOM, Batch, errors, library, open_context
from freeze_omni.llm.source import LlmError

BATCH_POSITIONS = 256  # read at once; more are read in pieces
FIRST_POSITIONS = 4096
MOST_POSITIONS = 2**17
QUIET_POSITIONS = 8  # from so many on, a pass of its own without states and logits is less work than these are


class SequenceRow:
    """One sequence; `length` positions of it were read."""

    def __init__(self, context: LlamaContext) -> None:
        self._context, self.length = context, 0
        self.id = context.take()
        # it may end in any thread, in the middle of a read: the context takes the number back when it is next used
        weakref.finalize(self, context.released.append, self.id).atexit = False

    def fork(self) -> SequenceRow:
        """Shares the positions read so far, and no others."""
        other = SequenceRow(self._context)
        self._context.copy(self.id, other.id)
        other.length = self.length
        return other

    def cut(self, length: int) -> None:
        self._context.forget(self.id, length)
        self.length = min(self.length, length)


class LlamaContext:
    """Up to `MOST_SEQUENCES` sequences share positions, which double as they are needed.

    A fork shares the positions of what it was forked from. One thread at a time reads.
    """

    def __init__(self, model: int, sizes: tuple[int, int], first: int = FIRST_POSITIONS, most: int = MOST_POSITIONS):
        """model: of the library, freed with this. sizes: width of its states, and its tokens. first, most: positions
        of all sequences together."""
        self.released: deque[int] = deque()
        self._model, (self._width, self._tokens) = model, sizes
        self.positions, self._most = first, most
        self._free = list(reversed(range(MOST_SEQUENCES)))
        self._lock = threading.RLock()
        self._threads, self._states = torch.get_num_threads(), True
        self._opened = [open_context(model, first, BATCH_POSITIONS, MOST_SEQUENCES, self._threads)]
        self._buffers = _Buffers(self._width)
        weakref.finalize(self, _close, self._opened, model).atexit = False

    def take(self) -> int:
        """The number of a free sequence. Raises LlmError if there is none."""
        with self._lock:
            self._reclaim()
            if not self._free:
                gc.collect()
                self._reclaim()
            if not self._free:
                raise LlmError(f"all {MOST_SEQUENCES} sequences of llama.cpp are in use: serve fewer (--max_sessions)")
            return self._free.pop()

    def copy(self, source: int, target: int) -> None:
        with self._lock:
            library().llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def forget(self, sequence: int, start: int) -> None:
        """All positions of a sequence from `start` on. Raises LlmError for a cache that cannot."""
        with self._lock:
            if not library().llama_memory_seq_rm(self._memory, sequence, start, -1):
                raise LlmError(f"llama.cpp cannot cut a sequence of this LLM back to {start} positions")

    def read(
        self, rows: Sequence[SequenceRow], inputs: Sequence[Tensor], last: bool, logits: bool = False
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Of each row embeddings (P_i, E), or token ids (P_i,), P_i > 0, to hidden states (P_i, E) and logits (P_i, V);
        with `last` of the last position alone: (1, E), (1, V). Without `logits` there are none.

        All are read or none. Raises LlmError if the positions do not suffice, or llama.cpp fails.
        """
        sizes = [len(one) for one in inputs]
        quiet = last and sum(sizes) - len(sizes) >= QUIET_POSITIONS
        with self._lock, torch.no_grad():
            self._reclaim()
            self._follow_threads()
            try:
                if quiet:
                    self._decode([(row, 0, one[:-1]) for row, one in zip(rows, inputs, strict=True)], states=False)
                starts = [size - 1 if quiet else 0 for size in sizes]
                pieces = [(row, start, one[start:]) for row, start, one in zip(rows, starts, inputs, strict=True)]
                hidden, scores = self._decode(pieces, logits=logits)
            except Exception:
                for row in rows:
                    self.forget(row.id, row.length)
                raise
        counts = [len(one) for _, _, one in pieces]
        for row, size in zip(rows, sizes, strict=True):
            row.length += size
        found, logged = hidden.split(counts), scores.split(counts if logits else [0] * len(counts))
        if last:
            found, logged = ([one[-1:] for one in parts] for parts in (found, logged))
        return list(found), list(logged) if logits else []

    def _decode(
        self, pieces: Sequence[tuple[SequenceRow, int, Tensor]], states: bool = True, logits: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Pieces (row, its positions read since `length`, positions) to the states and logits of all, or none."""
        lib = library()
        inputs = torch.cat([one for _, _, one in pieces])
        positions = np.concatenate([row.length + start + np.arange(len(one)) for row, start, one in pieces])
        sequences = np.repeat([row.id for row, _, _ in pieces], [len(one) for _, _, one in pieces])
        found = [(torch.empty(0, self._width), torch.empty(0, self._tokens))]
        self._states = states
        lib.llama_set_embeddings(self._pointer, states)  # of all positions, whatever a batch asks
        for start in range(0, len(inputs), BATCH_POSITIONS):
            end = min(start + BATCH_POSITIONS, len(inputs))
            self._decode_batch(
                self._buffers.filled(inputs[start:end], positions[start:end], sequences[start:end], states)
            )
            if states:
                hidden = self._copied(lib.llama_get_embeddings, end - start, self._width)
                found.append((hidden, self._copied(lib.llama_get_logits, (end - start) * logits, self._tokens)))
        return torch.cat([one for one, _ in found]), torch.cat([one for _, one in found])

    def _decode_batch(self, batch: Batch) -> None:
        lib = library()
        errors()
        while (code := lib.llama_decode(self._pointer, batch)) == NO_ROOM:
            self._grow()
        if code:
            raise LlmError(f"llama.cpp cannot read {batch.n_tokens} positions (code {code}): {errors()}")

    def _copied(self, get: ctypes._FuncPointer, rows: int, width: int) -> Tensor:
        if not rows:
            return torch.empty(0, width)
        found = np.ctypeslib.as_array(get(self._pointer), (rows, width))
        return torch.from_numpy(found.copy())

    def _grow(self) -> None:
        """Twice as many positions. Raises LlmError at the most."""
        lib, larger = library(), 2 * self.positions
        if larger > self._most:
            raise LlmError(f"all {self.positions} positions of llama.cpp are in use: serve fewer (--max_sessions)")
        pointer = open_context(self._model, larger, BATCH_POSITIONS, MOST_SEQUENCES, self._threads)
        size = lib.llama_state_get_size(self._pointer)
        state = (ctypes.c_uint8 * size)()
        written = lib.llama_state_get_data(self._pointer, state, size)
        if not written or lib.llama_state_set_data(pointer, state, written) != written:
            lib.llama_free(pointer)
            raise LlmError(f"llama.cpp cannot move its sequences to {larger} positions: {errors()}")
        lib.llama_set_embeddings(pointer, self._states)
        lib.llama_free(self._pointer)
        self._opened[0], self.positions = pointer, larger

    def _reclaim(self) -> None:
        while self.released:
            sequence = self.released.popleft()
            self.forget(sequence, 0)
            self._free.append(sequence)

    def _follow_threads(self) -> None:
        if self._threads != torch.get_num_threads():
            self._threads = torch.get_num_threads()
            library().llama_set_n_threads(self._pointer, self._threads, self._threads)

    @property
    def _pointer(self) -> int:
        return self._opened[0]

    @property
    def _memory(self) -> int:
        return library().llama_get_memory(self._pointer)


def _close(opened: list[int], model: int) -> None:
    library().llama_free(opened[0])
    library().llama_model_free(model)


class _Buffers:
    """The arrays that a batch points to."""

    def __init__(self, width: int) -> None:
        self._embeds = np.zeros((BATCH_POSITIONS, width), dtype=np.float32)
        self._ids, self._positions, self._sequences = (np.zeros(BATCH_POSITIONS, dtype=np.int32) for _ in range(3))
        self._ones = np.ones(BATCH_POSITIONS, dtype=np.int32)
        self._shown = np.zeros(BATCH_POSITIONS, dtype=np.int8)
        step = self._sequences.itemsize
        self._of_each = self._sequences.ctypes.data + step * np.arange(BATCH_POSITIONS, dtype=np.uint64)

    def filled(self, inputs: Tensor, positions: np.ndarray, sequences: np.ndarray, states: bool) -> Batch:
        """A batch of embeddings (n, E), or token ids (n,); it points to these arrays. states: give those of all."""
        size, by_id = len(positions), inputs.dim() == 1
        (self._ids if by_id else self._embeds)[:size] = inputs.numpy()
        self._positions[:size], self._sequences[:size], self._shown[:size] = positions, sequences, states
        return Batch(
            size,
            _pointer(self._ids, ctypes.c_int32) if by_id else None,
            None if by_id else _pointer(self._embeds, ctypes.c_float),
            _pointer(self._positions, ctypes.c_int32),
            _pointer(self._ones, ctypes.c_int32),
            ctypes.cast(self._of_each.ctypes.data, ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
            _pointer(self._shown, ctypes.c_int8),
        )


def _pointer(array: np.ndarray, kind: type) -> ctypes._Pointer:
    return array.ctypes.data_as(ctypes.POINTER(kind))
