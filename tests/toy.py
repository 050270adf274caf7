"""Toys for tests: an LLM with random weights, a small tokenizer and a chat template; a whole model.

It says nothing sensible. `toy_llm(folder, kind)` writes an ordinary transformers folder of the
given kind; tests that need only some LLM take kind "qwen2".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from freeze_omni.adapter.choice import AdapterChoice
from freeze_omni.adapter.ctc import CtcAdapterConfig
from freeze_omni.codec.config import CodecConfig, SpectralConfig
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.generate import GenerationConfig
from freeze_omni.llm.tuned import LearnedPrefixConfig, LlmTuningConfig, LoraConfig
from freeze_omni.llm.units import CtcUnits
from freeze_omni.speech_decoder.config import SpeechDecoderConfig
from freeze_omni.speech_decoder.sampling import SamplingConfig
from freeze_omni.system import FreezeOmni, SystemConfig

TEXTS = [
    "What is the capital of France? The capital of France is Paris.",
    "How many legs does a spider have? A spider has eight legs.",
    "Hello, my name is Anna. I'd like a cup of tea, please!",
    "Which animal is the largest? The blue whale is the largest animal on Earth.",
    "user assistant system You are a helpful assistant. model",
] * 3

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
QWEN = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are a helpful assistant."
    "<|im_end|>\\n' }}{% endif %}" + CHATML
)
SMOLLM = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful AI assistant<|im_end|>\\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA = (
    "{{ '<|begin_of_text|>' }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
    "{% if message['role'] == 'system' %}{{ 'Today Date: ' + date_string + '\\n\\n' }}{% endif %}"
    "{{ message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% "
    "endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{% set role = 'model' %}"
    "{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)

# kind: (model_type, template, special tokens, bos, eos)
_IM = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
KINDS = {
    "qwen2": ("qwen2", QWEN, _IM, None, "<|im_end|>"),
    "smollm": ("llama", SMOLLM, _IM, "<|im_start|>", "<|im_end|>"),
    "llama": (
        "llama",
        LLAMA,
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end|>"],
        "<|begin_of_text|>",
        "<|end|>",
    ),
    "gemma": (
        "gemma2",
        GEMMA,
        ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"],
        "<bos>",
        "<eos>",
    ),
}


def toy_tokenizer(kind: str = "qwen2", texts: list[str] = TEXTS) -> PreTrainedTokenizerFast:
    """A byte-level BPE of about 350 tokens with the template of the given kind."""
    _, template, special, bos, eos = KINDS[kind]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=350,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos, pad_token=special[0])
    fast.add_special_tokens({"additional_special_tokens": special[1:]})
    fast.chat_template = template
    return fast


def toy_llm(
    folder: str | Path,
    kind: str = "qwen2",
    hidden_size: int = 48,
    layers: int = 2,
    seed: int = 7,
    texts: list[str] = TEXTS,
) -> Path:
    """Write model and tokenizer to `folder` and return it."""
    folder = Path(folder)
    tokenizer = toy_tokenizer(kind, texts)
    config = AutoConfig.for_model(
        KINDS[kind][0],
        vocab_size=len(tokenizer) + 5,  # real models have spare rows too
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=hidden_size // 4,
        max_position_embeddings=2048,
        initializer_range=0.2,
        tie_word_embeddings=kind in ("smollm", "gemma"),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attention_dropout=0.5,  # a frozen model in train mode would show
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


TUNINGS = {
    "prefix": LlmTuningConfig(prefix=LearnedPrefixConfig(positions=3)),
    "lora": LlmTuningConfig(lora=LoraConfig(rank=2)),
}


def as_if_learned(tuning: torch.nn.Module, seed: int = 1) -> torch.nn.Module:
    """What is learned beside an LLM, moved as by some steps: fresh adapters add nothing."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in tuning.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=draw))
    return tuning


def toy_config(llm_size: int, ctc_units: int, **changes: Any) -> SystemConfig:
    """A whole system of tiny sizes with the CTC adapter; `changes` are fields of SystemConfig."""
    fields = {
        "adapter": AdapterChoice(ctc=CtcAdapterConfig()),
        "encoder": EncoderConfig(size=16, layers=1, heads=2, ffn_size=32),
        "prompt": 3,
        "speech_decoder": SpeechDecoderConfig(size=16, heads=2, ffn_size=32, layers=1, pre_layers=1),
        "codec": CodecConfig(spectral=SpectralConfig(width=16, decoder_blocks=1, encoder_blocks=1)),
        "generation": GenerationConfig(max_new_tokens=12),
        "sampling": SamplingConfig(max_tokens=40),  # a second: a toy's speech hardly ends by itself
    }
    return SystemConfig(llm_size=llm_size, ctc_units=ctc_units, **(fields | changes))


def toy_system(folder: Path, **changes: Any) -> FreezeOmni:
    """A toy of the whole model around a toy LLM in `folder`; random weights, nothing learnt."""
    llm = FrozenLLM.load(toy_llm(folder))
    units = CtcUnits.from_llm(TEXTS, llm.tokenizer)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = FreezeOmni(toy_config(llm.hidden_size, len(units), **changes), llm, units)
        model.set_voice(0.1 * torch.randn(24000))
    if model.config.llm_tuning is not None:
        as_if_learned(model.llm_tuning)
    return model


def only_words(model: FreezeOmni) -> FreezeOmni:
    """The toy, which from now on writes words alone and never an end token: what random weights write may be signs that
    have no sound, or nothing."""
    head, tokenizer = model.llm.model.get_output_embeddings(), model.llm.tokenizer
    texts = (tokenizer.decode([token], skip_special_tokens=True) for token in range(head.out_features))
    bias = torch.tensor([0.0 if text.strip().isalpha() else -torch.inf for text in texts])
    head.bias = torch.nn.Parameter(bias, requires_grad=False)
    return model
