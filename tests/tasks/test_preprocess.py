"""One utterance's entries to arrays."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from freeze_omni.data.augment import AugmentConfig
from freeze_omni.llm.chat import ChatTemplate, tokenise
from freeze_omni.llm.order import ReadingOrder
from freeze_omni.speech_decoder.normalise import spoken_ids
from freeze_omni.tasks.preprocess import Reader, before_answer, before_turn, build_augment
from tests.toy import toy_tokenizer


def test_one_text_can_become_several_entries():
    reader = Reader({"text": ("text", len_of), "units": ("text", list_of), "more": ("none", len_of)})
    entries = pickle.loads(pickle.dumps(reader))("id", {"text": "ab", "tokens": np.arange(3)})
    assert {name: value.tolist() for name, value in entries.items()} == {
        "text": [2],
        "units": [97, 98],
        "more": [0],
        "tokens": [0, 1, 2],
    }


def len_of(text: str) -> list[int]:
    return [len(text)]


def list_of(text: str) -> list[int]:
    return list(map(ord, text))


def test_sound_becomes_one_channel_and_must_be_sound():
    reader = Reader({}, sound=("speech",))
    stereo = np.stack([np.ones(5), np.zeros(5)], axis=1)
    assert reader("id", {"speech": stereo})["speech"].tolist() == [0.5] * 5
    for wrong in (np.zeros(0), np.array([0.0, np.nan])):
        with pytest.raises(ValueError, match="utt7: no samples, or samples that are no numbers"):
            reader("utt7", {"speech": wrong})


def test_augmentation_is_for_training_and_follows_the_seed():
    config = AugmentConfig(noise=1.0)
    assert build_augment(config, False, 16000) is None and build_augment(None, True, 16000) is None
    change, wav = build_augment(config, True, 16000), np.sin(np.arange(4000) / 9).astype("float32")
    np.random.seed(3)
    one, two = change(wav), change(wav)
    np.random.seed(3)
    assert np.array_equal(change(wav), one) and not np.array_equal(one, two)
    assert one.shape == wav.shape and not np.array_equal(one, wav)


def test_contexts_are_the_chat_templates():
    tokenizer = toy_tokenizer()
    chat = ChatTemplate.from_tokenizer(tokenizer)
    order = ReadingOrder(chat)
    fresh = before_turn("", order, "Be brief.")
    assert fresh == chat.system("Be brief.") + chat.user_prefix()
    later = tokenizer.decode(before_turn('[["Hi", "Hello"]]', order, "Be brief."))
    assert later.startswith(tokenizer.decode(fresh) + "Hi") and later.endswith("user\n")
    asked = tokenizer.decode(before_answer("Hi", "", order, "Be brief."))
    assert asked == tokenizer.decode(fresh) + "Hi" + tokenizer.decode(chat.user_suffix())
    second = tokenizer.decode(before_answer("And you?", '[["Hi", "Hello"]]', order, "Be brief."))
    assert second == later + "And you?" + tokenizer.decode(chat.user_suffix())


def test_several_entries_are_read_into_one():
    reader = Reader({"context": (("text", "history"), lambda text, history: [len(text), len(history)])})
    entries = reader("u", {"text": "Hi", "history": "abc", "tokens": np.zeros(2)})
    assert entries["context"].tolist() == [2, 3] and set(entries) == {"context", "tokens"}
    assert reader("u", {"text": "Hi"})["context"].tolist() == [2, 0]


def test_spoken_text_is_styled_before_it_is_cut_into_units():
    tokenizer = toy_tokenizer()
    plain = spoken_ids(" 3 cats", tokenizer, "chars", "plain")
    assert len(plain) == 6 and tokenizer.decode(plain) == "3 cats"
    assert "three" in tokenizer.decode(spoken_ids("3 cats", tokenizer, "tokens", "english"))
    assert tokenise("", tokenizer) == []
