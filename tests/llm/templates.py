"""Chat templates as published models have them, cut to their form, and tokenizers of each kind."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = ["<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>", "[INST]", "[/INST]", "<think>", "</think>"]
TEXTS = [
    "You are a helpful assistant. Be brief. Hello, my name is Anna. What is the capital? Paris. Hello Anna!",
    "system user assistant USER: ASSISTANT: Today Date: 26 July 2024 <<SYS>> <</SYS>> [A] [U]",
] * 3

_IM = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_SYSTEM_FIRST = "{% set ns = namespace(s='') %}{% for m in messages %}{% if m['role'] == 'system' %}"
_SYSTEM_FIRST += "{% set ns.s = m['content'] + '\\n\\n' %}{% elif m['role'] == 'user' %}"


def opening(thought: str, prompt: str = "<|im_start|>assistant\n") -> str:
    """A template whose generation prompt ends in `thought`."""
    return _IM.replace("{{ '<|im_start|>assistant\\n' }}", "{{ %r }}" % (prompt + thought))  # noqa: UP031


# each gives the ids of the whole that it renders
PLAIN = {
    "chatml": _IM,
    "date": _IM.replace("{% for", "{{ 'Today Date: ' + strftime_now('%d %B %Y') + '\\n' }}{% for", 1),
    "date_string": _IM.replace(
        "{% for", "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
        "{{ 'Today Date: ' + date_string + '\\n' }}{% for", 1
    ),
    "mistral": "{{ bos_token }}" + _SYSTEM_FIRST + "{{ '[INST] ' + ns.s + m['content'] + '[/INST]' }}"
    "{% set ns.s = '' %}{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}",
    "mistral_tight": "{{ bos_token }}" + _SYSTEM_FIRST + "{{ '[INST]' + ns.s + m['content'] + '[/INST]' }}"
    "{% set ns.s = '' %}{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}",
    "llama2": "{% for m in messages %}{% if m['role'] == 'system' %}{{ bos_token + '[INST] <<SYS>>\\n' + m['content'] "
    "+ '\\n<</SYS>>\\n\\n' }}{% elif m['role'] == 'user' %}{% if loop.index0 != 1 %}{{ bos_token + '[INST] ' }}"
    "{% endif %}{{ m['content'] + ' [/INST]' }}{% else %}{{ ' ' + m['content'] + ' ' + eos_token }}{% endif %}"
    "{% endfor %}",
    "vicuna": "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] + ' ' }}"
    "{% elif m['role'] == 'user' %}{{ 'USER: ' + m['content'] + ' ' }}"
    "{% else %}{{ 'ASSISTANT: ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}",
}  # fmt: skip
# as Qwen3: an empty reasoning before the answer that is asked for, and none before earlier ones
SWITCH = opening("").replace(
    "assistant\\n' }}{% endif %}",
    "assistant\\n' }}{% if enable_thinking is defined and not enable_thinking %}"
    "{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}",
)
# template: what it leaves open, and what closes it
THINKING = {
    "<think>": ("<think>\n", "</think>"),
    "no line": ("<think>", "</think>"),
    "[THINK]": ("[THINK]", "[/THINK]"),
    "seed": ("<seed:think>", "</seed:think>"),
    "thought": ("<thought>\n", "</thought>"),
    "begin_of": ("<|begin_of_thought|>\n\n", "<|end_of_thought|>"),
    "start": ("<|START_THINKING|>", "<|END_THINKING|>"),
    "kimi": ("◁think▷", "◁/think▷"),
    "again": ("<think>\n\n</think>\n\n<think>\n", "</think>"),
}
UNKNOWN_THINKING = ["<|channel|>analysis<|message|>", "<unused94>thought\n", "<think>\nOkay, the user"]


def _byte_level(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()


def _metaspace(scheme: str):
    def put(tokenizer: Tokenizer) -> None:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
        tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)

    return put


def _prepend(tokenizer: Tokenizer) -> None:  # as converted Llama 2 tokenizers
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])


TOKENIZERS = {
    "byte level": _byte_level,
    "metaspace": _metaspace("first"),
    "metaspace always": _metaspace("always"),
    "prepend": _prepend,
}


def tokenizer_of(kind: str, template: str) -> PreTrainedTokenizerFast:
    """A small BPE of this kind, with this template."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    TOKENIZERS[kind](tokenizer)
    letters = sorted(set("".join(TEXTS)) | {"\n", "▁"} - {" "})
    alphabet = pre_tokenizers.ByteLevel.alphabet() if kind == "byte level" else letters
    trainer = trainers.BpeTrainer(
        vocab_size=450, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    texts = [word for text in TEXTS for word in text.split(" ")] if kind == "prepend" else TEXTS
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    fast.add_special_tokens({"additional_special_tokens": SPECIAL[3:]})
    fast.chat_template = template
    return fast
