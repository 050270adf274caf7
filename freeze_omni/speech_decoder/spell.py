"""Text as single characters of the LLM's own vocabulary (`text_units: chars`).

A BPE vocabulary holds its letters as tokens, with trained embeddings. Spelled text lets the decoder
learn to pronounce from little data, where whole tokens would each have to be heard first; the LLM's
frozen embedding stays the only source.
"""

from __future__ import annotations

from typing import Any


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


def _ids(character: str, tokenizer: Any) -> list[int]:
    ids = tokenizer.encode(character, add_special_tokens=False)
    if len(ids) > 1 or tokenizer.convert_ids_to_tokens(ids) != [character]:
        own = tokenizer.convert_tokens_to_ids(character)  # some tokenisers put a blank in front of a text
        if own is not None and own != tokenizer.unk_token_id and tokenizer.decode([own]) == character:
            return [own]
    return ids
