"""llama.cpp's C functions in the wheel of `xllamacpp`, by ctypes (docs/decisions/009-llama-cpp.md).

The wheel's own Python functions are those of a server of texts; its library has the whole C interface (llama.h). Three
structures of it are written down here. They change between versions, so `library` compares their size and default
values with the library's before anything is given to it, and `open_context` what the context says of itself.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import os
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int, c_int8, c_int32, c_int64, c_size_t, c_uint32, c_void_p
from functools import lru_cache
from pathlib import Path
from typing import Any

from freeze_omni.llm.source import LlmError

PACKAGE, EXTRA = "xllamacpp", "pip install 'freeze_omni[llama]'"
OWN = "FREEZE_OMNI_LLAMA_LIBRARY"  # a libllama.so that was compiled for this machine, in place of the wheel's
MOST_SEQUENCES = 256  # LLAMA_MAX_SEQ
NO_ROOM = 1  # what llama_decode says if its positions do not suffice; nothing was read
_CANARY, _ROOM = 0xA5, 1024
_WARNING, _ERROR = 3, 4  # levels of ggml_log
_said: list[str] = []  # errors of the library since `forget`


class ModelParams(ctypes.Structure):
    """llama_model_params, of which nothing is set: 80 bytes."""

    _fields_ = [("bytes", ctypes.c_uint64 * 10)]


class ContextParams(ctypes.Structure):
    """llama_context_params."""

    _fields_ = [
        *((name, c_uint32) for name in ("n_ctx", "n_batch", "n_ubatch", "n_seq_max", "n_rs_seq")),
        ("n_outputs_max", c_uint32),
        ("n_outputs_max_per_seq", c_uint32),
        ("n_threads", c_int32),
        ("n_threads_batch", c_int32),
        *((name, c_int) for name in ("ctx_type", "rope_scaling_type", "pooling_type", "attention_type")),
        ("flash_attn_type", c_int),
        *((name, c_float) for name in ("rope_freq_base", "rope_freq_scale", "yarn_ext_factor", "yarn_attn_factor")),
        ("yarn_beta_fast", c_float),
        ("yarn_beta_slow", c_float),
        ("yarn_orig_ctx", c_uint32),
        ("defrag_thold", c_float),
        ("cb_eval", c_void_p),
        ("cb_eval_user_data", c_void_p),
        ("type_k", c_int),
        ("type_v", c_int),
        ("abort_callback", c_void_p),
        ("abort_callback_data", c_void_p),
        *((name, c_bool) for name in ("embeddings", "offload_kqv", "no_perf", "op_offload", "swa_full", "kv_unified")),
        ("samplers", c_void_p),
        ("n_samplers", c_size_t),
        ("ctx_other", c_void_p),
    ]


class GgufParams(ctypes.Structure):
    """gguf_init_params."""

    _fields_ = [("no_alloc", c_bool), ("ctx", c_void_p)]


class Batch(ctypes.Structure):
    """llama_batch: n_tokens positions, each a token or an embedding, of one sequence each."""

    _fields_ = [
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", POINTER(c_float)),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(c_int8)),
    ]


_DEFAULTS = {
    "n_ctx": 512,
    "n_batch": 2048,
    "n_ubatch": 512,
    "n_seq_max": 1,
    "n_outputs_max": 0,
    "n_outputs_max_per_seq": 1,
    "n_threads": 4,
    "n_threads_batch": 4,
    "rope_scaling_type": -1,
    "pooling_type": -1,
    "attention_type": -1,
    "flash_attn_type": -1,
    "yarn_ext_factor": -1.0,
    "yarn_beta_slow": -1.0,
    "type_k": 1,  # float16
    "type_v": 1,
    "embeddings": False,
    "offload_kqv": True,
    "swa_full": True,
    "kv_unified": False,
}

GGUF_KINDS = {2: "u16", 4: "u32", 5: "i32", 8: "str", 10: "u64"}  # gguf_type
_NUMBERS = {"u16": ctypes.c_uint16, "u32": c_uint32, "i32": c_int32, "str": c_char_p, "u64": ctypes.c_uint64}

_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "llama_backend_init": (None, []),
    "llama_model_load_from_file": (c_void_p, [c_char_p, ModelParams]),
    "llama_model_free": (None, [c_void_p]),
    "llama_model_n_embd": (c_int32, [c_void_p]),
    "llama_model_get_vocab": (c_void_p, [c_void_p]),
    "llama_vocab_n_tokens": (c_int32, [c_void_p]),
    **{f"llama_model_{name}": (c_bool, [c_void_p]) for name in ("has_encoder", "is_recurrent", "is_hybrid")},
    "llama_model_is_diffusion": (c_bool, [c_void_p]),
    "llama_init_from_model": (c_void_p, [c_void_p, ContextParams]),
    "llama_free": (None, [c_void_p]),
    **{f"llama_{name}": (c_uint32, [c_void_p]) for name in ("n_ctx", "n_batch", "n_ubatch", "n_seq_max")},
    "llama_n_threads": (c_int32, [c_void_p]),
    "llama_pooling_type": (c_int, [c_void_p]),
    "llama_set_n_threads": (None, [c_void_p, c_int32, c_int32]),
    "llama_set_embeddings": (None, [c_void_p, c_bool]),
    "llama_decode": (c_int32, [c_void_p, Batch]),
    "llama_get_embeddings": (POINTER(c_float), [c_void_p]),
    "llama_get_logits": (POINTER(c_float), [c_void_p]),
    "llama_get_memory": (c_void_p, [c_void_p]),
    "llama_memory_seq_rm": (c_bool, [c_void_p, c_int32, c_int32, c_int32]),
    "llama_memory_seq_cp": (None, [c_void_p, c_int32, c_int32, c_int32, c_int32]),
    "llama_state_get_size": (c_size_t, [c_void_p]),
    "llama_state_get_data": (c_size_t, [c_void_p, c_void_p, c_size_t]),
    "llama_state_set_data": (c_size_t, [c_void_p, c_void_p, c_size_t]),
    "gguf_init_from_file": (c_void_p, [c_char_p, GgufParams]),
    "gguf_free": (None, [c_void_p]),
    "gguf_find_key": (c_int64, [c_void_p, c_char_p]),
    "gguf_get_kv_type": (c_int, [c_void_p, c_int64]),
    **{f"gguf_get_val_{name}": (kind, [c_void_p, c_int64]) for name, kind in _NUMBERS.items()},
    "gguf_get_arr_n": (c_size_t, [c_void_p, c_int64]),
    "gguf_get_arr_str": (c_char_p, [c_void_p, c_int64, c_size_t]),
    "gguf_find_tensor": (c_int64, [c_void_p, c_char_p]),
    "gguf_get_data_offset": (c_size_t, [c_void_p]),
    "gguf_get_tensor_offset": (c_size_t, [c_void_p, c_int64]),
    "gguf_get_tensor_size": (c_size_t, [c_void_p, c_int64]),
    "gguf_get_tensor_type": (c_int, [c_void_p, c_int64]),
    "gguf_get_tensor_ne": (POINTER(c_int64), [c_void_p, c_int64]),
}


@ctypes.CFUNCTYPE(None, c_int, c_char_p, c_void_p)
def _log(level: int, text: bytes | None, _: int | None) -> None:
    said = (text or b"").decode(errors="replace").strip()
    if said and level in (_WARNING, _ERROR):
        logging.getLogger("llama.cpp").debug(said)
        _said.extend([said] if level == _ERROR else [])


def errors() -> str:
    """What the library has complained of since the last call."""
    said = "; ".join(_said[-2:])
    _said.clear()
    return said


@lru_cache(maxsize=1)
def library() -> Any:
    """The library, once for a process. Raises LlmError: not installed, or of a version that is not known here."""
    path = _path()
    other = f"{path}: not the llama.cpp that this is written for: {EXTRA}"
    try:
        loaded = ctypes.CDLL(path)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
        loaded.llama_log_set(_log, None)
        _check(loaded)
    except (OSError, AttributeError, ValueError) as error:
        raise LlmError(f"{other} ({error})") from None
    for name, kind in (("model", ModelParams), ("context", ContextParams)):
        defaults = getattr(loaded, f"llama_{name}_default_params")
        defaults.restype, defaults.argtypes = kind, []
    loaded.llama_backend_init()
    return loaded


def _path() -> str:
    if own := os.environ.get(OWN):
        return own
    found = importlib.util.find_spec(PACKAGE)
    paths = sorted(Path(found.origin).parent.glob("xllamacpp*.so")) if found and found.origin else []
    if not paths or not importlib.util.find_spec("gguf"):
        raise LlmError(f"a GGUF file is read by llama.cpp, which is not installed: {EXTRA}")
    return str(paths[0])


def _check(loaded: Any) -> None:
    """Raise ValueError if a structure is not as above."""
    for name, kind in (("model", ModelParams), ("context", ContextParams)):
        room = (ctypes.c_uint8 * _ROOM)(*[_CANARY] * _ROOM)
        function = getattr(loaded, f"llama_{name}_default_params")
        function.restype, function.argtypes = None, [c_void_p]  # a large structure is written where this points
        function(room)
        written = len(bytes(room).rstrip(bytes([_CANARY])))
        align = ctypes.alignment(kind)
        if -(-written // align) * align != ctypes.sizeof(kind):
            raise ValueError(f"llama_{name}_params has {written} bytes, not {ctypes.sizeof(kind)}")
        if kind is ContextParams:
            params = ContextParams.from_buffer(room)
            wrong = [key for key, value in _DEFAULTS.items() if getattr(params, key) != value]
            if wrong:
                raise ValueError(f"llama_context_params has other defaults of {', '.join(wrong)}")


def open_context(model: int, positions: int, batch: int, sequences: int, threads: int) -> int:
    """A context whose sequences share `positions`; reads `batch` positions at once, hidden states out. Raises LlmError:
    no memory, or settings that did not arrive."""
    lib = library()
    params = lib.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch, params.n_seq_max = positions, batch, batch, sequences
    params.n_outputs_max = params.n_outputs_max_per_seq = 0  # of any position
    params.n_threads = params.n_threads_batch = threads
    params.pooling_type, params.embeddings, params.kv_unified = 0, True, True
    errors()
    context = lib.llama_init_from_model(model, params)
    if not context:
        raise LlmError(f"llama.cpp opens no context of {positions} positions: {errors() or 'not enough memory'}")
    asked = {"n_batch": batch, "n_ubatch": batch, "n_seq_max": sequences, "n_threads": threads, "pooling_type": 0}
    for name, value in asked.items():
        if (found := getattr(lib, f"llama_{name}")(context)) != value:
            raise LlmError(f"{_path()}: {name} is {found}, not {value} as asked: {EXTRA}")
    return context
