"""Characters as LLM tokens, with two kinds of toy tokeniser."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from freeze_omni.speech_decoder.normalise import spell, text_ids


def byte_level() -> PreTrainedTokenizerFast:
    """As of GPT-2 and Qwen: all bytes, and "the" as a merge."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*alphabet, "th", "the"])}
    core = Tokenizer(models.BPE(vocabulary, [("t", "h"), ("th", "e")]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core)


def metaspace() -> PreTrainedTokenizerFast:
    """As of Llama 2: a blank is put in front of a text."""
    vocabulary = {token: index for index, token in enumerate(["<unk>", "▁", "a", "▁a", "b", "ab"])}
    core = Tokenizer(models.BPE(vocabulary, [("▁", "a"), ("a", "b")], unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    core.decoder = decoders.Metaspace(prepend_scheme="always")
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")


def test_each_character_is_its_own_token():
    tokenizer = byte_level()
    ids = spell("the tea", tokenizer)
    assert tokenizer.convert_ids_to_tokens(ids) == ["t", "h", "e", "Ġ", "t", "e", "a"]
    assert len(text_ids("the tea", tokenizer, "tokens")) < len(ids)
    assert text_ids("the tea", tokenizer, "chars") == ids


def test_a_character_without_a_token_comes_as_its_bytes():
    tokenizer = byte_level()
    assert len(spell("é", tokenizer)) == 2
    assert tokenizer.decode(spell("thé", tokenizer)) == "thé"


@pytest.mark.parametrize("text", ["ab", "a b"])
def test_no_blank_creeps_in_front_of_a_letter(text):
    tokenizer = metaspace()
    wanted = [character.replace(" ", "▁") for character in text]
    assert tokenizer.convert_ids_to_tokens(spell(text, tokenizer)) == wanted
