"""Text as single characters of the LLM's own vocabulary (`text_units: chars`).

A BPE vocabulary holds its letters as tokens, with trained embeddings. Spelled text lets the decoder
learn to pronounce from little data, where whole tokens would each have to be heard first; the LLM's
frozen embedding stays the only source.
"""

from __future__ import annotations

from typing import Any, Literal

from freeze_omni.speech_decoder.normalise import normalise, spoken_english

TextStyle = Literal["plain", "released", "english"]
TEXT_STYLES = {"plain": str.strip, "released": normalise, "english": spoken_english}


def spell(text: str, tokenizer: Any) -> list[int]:
    """LLM token ids of the text, each character on its own.

    A character that has no token of its own comes as the tokens of its bytes.

    Args:
        tokenizer: of transformers.
    """
    table = {character: _ids(character, tokenizer) for character in set(text)}
    return [unit for character in text for unit in table[character]]


def text_ids(text: str, tokenizer: Any, text_units: str) -> list[int]:
    """LLM token ids of the text in the units of a decoder's `text_units` ("tokens" or "chars")."""
    if text_units == "chars":
        return spell(text, tokenizer)
    return tokenizer.encode(text, add_special_tokens=False)


def spoken_ids(text: str, tokenizer: Any, text_units: str, style: TextStyle) -> list[int]:
    """LLM token ids of a text as it is spoken, in the decoder's units.

    style: plain, released (the published server's clean-up) or english (numbers in words). Decoding must use the style
        of the training.
    """
    return text_ids(TEXT_STYLES[style](text), tokenizer, text_units)


def _ids(character: str, tokenizer: Any) -> list[int]:
    ids = tokenizer.encode(character, add_special_tokens=False)
    if len(ids) > 1 or tokenizer.convert_ids_to_tokens(ids) != [character]:
        own = tokenizer.convert_tokens_to_ids(character)  # some tokenisers put a blank in front of a text
        if own is not None and own != tokenizer.unk_token_id and tokenizer.decode([own]) == character:
            return [own]
    return ids
