"""A published Whisper's decoder as a transcriber: of transformers or CTranslate2, in a folder or on the hub."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from freeze_omni.config import ConfigError
from freeze_omni.encoder.transcriber import BEGINS, ENDS, GOES_ON
from freeze_omni.frontend.load import CTRANSLATE2, named, read_tensors
from freeze_omni.hub import folder_of, loading
from freeze_omni.llm.chat import ChatTemplate
from freeze_omni.llm.units import INCOMPLETE
from freeze_omni.shapes import pad_rows

TOKENIZER, GENERATION = "tokenizer.json", "generation_config.json"
ENGLISH_ALONE = 51864
"""Tokens of the models that know no other language, and so begin without one."""
MOST_PIECES = 8
"""The most tokens of the LLM for one of Whisper's; those that are longer, such as rows of signs, are not said."""
SENTENCE_ENDS = (".", "?", "!", "。", "？", "！")
DECODER = ("decoder_layers", "decoder_attention_heads", "decoder_ffn_dim", "vocab_size", "max_target_positions")


def read_transcriber(source: str, tokenizer: Any, language: str = "en") -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The keys of `TranscriberConfig` and the weights. tokenizer: the LLM's; language: of a model of many.

    Raises ConfigError: no Whisper, weights in integers, no tokenizer.json, an unknown language.
    """
    folder = folder_of(source, (CTRANSLATE2, "config.json", GENERATION, TOKENIZER))
    found = _of_ctranslate2(folder) if (folder / CTRANSLATE2).exists() else _of_transformers(source, folder)
    config, published, state = found
    path = folder / TOKENIZER
    if not path.is_file():
        raise ConfigError(f"{source}: no {TOKENIZER}, by which the decoder's tokens are read")
    whisper = Tokenizer.from_file(str(path))
    texts = [whisper.decode([token]) for token in range(config["vocab_size"])]
    tables = {
        "spelled": spelled_by(texts, tokenizer),
        "kinds": torch.tensor([_kind(text) for text in texts]).to(torch.int8),
    }
    chosen = {
        "model": config,
        "heads": published["alignment_heads"],
        "start": _start(whisper, config["vocab_size"], language, source),
        "end": _token(whisper, "<|endoftext|>", source),
        "banned": published["suppress"],
        "banned_first": published["suppress_first"],
        "pieces": tables["spelled"].shape[2],
    }
    return chosen, {f"net.{name}": value for name, value in state.items()} | tables


def _of_ctranslate2(folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Tensor]]:
    tensors = read_tensors(folder / CTRANSLATE2, "decoder/")
    heads = int(tensors["num_heads"])
    state = named({name: value for name, value in tensors.items() if value.ndim and not name.startswith("projection")})
    vocabulary, size = state["embed_tokens.weight"].shape
    config = {
        "model_type": "whisper", "d_model": size, "decoder_attention_heads": heads, "vocab_size": vocabulary,
        "decoder_layers": 1 + max(int(name.split(".")[1]) for name in state if name.startswith("layers.")),
        "decoder_ffn_dim": len(state["layers.0.fc1.weight"]),
        "max_target_positions": len(state["embed_positions.weight"]),
    }  # fmt: skip
    said = _read_json(folder / "config.json")
    names = {"alignment_heads": "alignment_heads", "suppress": "suppress_ids", "suppress_first": "suppress_ids_begin"}
    return config, _published(said, names, folder / "config.json"), state


def _of_transformers(source: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Tensor]]:
    from transformers import AutoConfig, AutoModel

    name, options = loading(source)
    try:
        described = AutoConfig.from_pretrained(name, **options)
        model = AutoModel.from_pretrained(name, dtype="float32", **options)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{source}: cannot be read: {error}") from None
    if described.model_type != "whisper":
        raise ConfigError(f"{source}: a {described.model_type}; only a Whisper has a decoder that transcribes")
    config = {"model_type": "whisper", "d_model": described.d_model, "pad_token_id": described.pad_token_id}
    config |= {key: getattr(described, key) for key in DECODER}
    names = {"alignment_heads": "alignment_heads", "suppress": "suppress_tokens"}
    names["suppress_first"] = "begin_suppress_tokens"
    path = folder / GENERATION
    return config, _published(_read_json(path), names, path), model.decoder.state_dict()


def _published(said: dict[str, Any], names: dict[str, str], path: Path) -> dict[str, Any]:
    if not said.get(names["alignment_heads"]):
        raise ConfigError(f"{path}: no {names['alignment_heads']}: take a version that has them")
    return {ours: said.get(theirs) or [] for ours, theirs in names.items()}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def _start(whisper: Tokenizer, vocabulary: int, language: str, source: str) -> list[int]:
    names = ["<|startoftranscript|>", "<|notimestamps|>"]
    if vocabulary > ENGLISH_ALONE:
        names[1:1] = [f"<|{language}|>", "<|transcribe|>"]
    return [_token(whisper, name, source) for name in names]


def _token(whisper: Tokenizer, name: str, source: str) -> int:
    token = whisper.token_to_id(name)
    if token is None:
        raise ConfigError(f"{source}: its {TOKENIZER} has no {name}")
    return token


def _kind(text: str) -> int:
    if text.strip() in SENTENCE_ENDS:
        return ENDS
    return GOES_ON if text[:1].isalnum() or text.startswith(INCOMPLETE) else BEGINS


def spelled_by(texts: Sequence[str], tokenizer: Any) -> Tensor:
    """The LLM's tokens (2, V, M) of texts, those of Whisper's tokens, in running text and as the first of a turn; -1
    after the last. Special tokens, pieces of a character and what takes more than MOST_PIECES have none."""
    chat = ChatTemplate.from_tokenizer(tokenizer)
    texts = ["" if INCOMPLETE in text else text for text in texts]
    words = [text for text in texts if text.startswith(" ") and text.strip()]
    running = dict(zip(words, chat.running_texts(words), strict=True))
    joined = {text: chat.mark(text) for text in texts if text and text not in running}
    written = [text.strip() for text in texts]
    some = [text for text in written if text]
    first = dict(zip(some, chat.user_texts(some, first=True), strict=True))
    inside = [running.get(text) or joined.get(text) or [] for text in texts]
    found = [row if len(row) <= MOST_PIECES else [] for row in inside + [first.get(text, []) for text in written]]
    rows = [torch.tensor(row, dtype=torch.int32) for row in found]
    return pad_rows(rows, -1)[0].reshape(2, len(texts), -1)
