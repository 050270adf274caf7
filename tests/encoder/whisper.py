"""A Whisper in a folder, with the decoder's tokenizer and what it generates by."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import WhisperConfig, WhisperForConditionalGeneration

from tests.contract.parts.pretrained import MODELS
from tests.contract.parts.transcriber import DECODER
from tests.toy import TEXTS

SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"]


def write_whisper(folder: Path, **changes: int) -> tuple[WhisperForConditionalGeneration, Path]:
    """A small random Whisper as its authors publish one, and its folder."""
    folder.mkdir(parents=True)
    whisper = Tokenizer(models.BPE())
    whisper.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    whisper.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    whisper.train_from_iterator(TEXTS, trainer)
    whisper.add_special_tokens(SPECIAL)  # after all that is text, as in those that are published
    whisper.save(str(folder / "tokenizer.json"))
    config = MODELS["whisper"] | DECODER | {"vocab_size": whisper.get_vocab_size()}
    config |= changes | {"bos_token_id": 0, "eos_token_id": 0, "decoder_start_token_id": 1}
    torch.manual_seed(2)
    model = WhisperForConditionalGeneration(WhisperConfig(**config))
    with torch.no_grad():
        for weight in model.model.decoder.parameters():
            weight.normal_(0, 0.4) if weight.dim() > 1 else None
    model.save_pretrained(folder)
    said = {"alignment_heads": [[0, 1], [1, 0]], "suppress_tokens": [5, 6], "begin_suppress_tokens": [7]}
    (folder / "generation_config.json").write_text(json.dumps(said))
    return model, folder
