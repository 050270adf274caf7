"""CTC units of every kind write what they were made for, and come back from a folder."""

from __future__ import annotations

import weakref

import pytest

from freeze_omni.config import ConfigError
from freeze_omni.data.tables import TableError
from freeze_omni.encoder.lexicon import WordCounts
from freeze_omni.encoder.search import SearchConfig
from freeze_omni.llm.units import CtcUnits, spelled_words, written_forms
from tests.toy import TEXTS, toy_tokenizer

WORDS = WordCounts({"don't": 0.1, "quick": 0.2, "fox": 0.1}, {("quick", "fox"): 0.3})
NEW = "Quick brown foxes jump, don't they? 42 times"


@pytest.fixture(params=["qwen2", "gemma"])
def units(request):
    return CtcUnits.from_llm(TEXTS, toy_tokenizer(request.param), min_count=3)


def made(kind):
    if kind == "llm":
        return CtcUnits.from_llm(TEXTS, toy_tokenizer(), min_count=3)
    if kind == "word":
        return CtcUnits.from_words(WORDS)
    return CtcUnits.from_characters(TEXTS) if kind == "char" else CtcUnits.from_bpe(TEXTS, 60)


def test_tokens_seen_often_are_the_llms_own(units):
    tokenizer = units.speller.tokenizer
    for text in TEXTS:
        ids = units.encode(text)
        running = tokenizer.encode(f"So. {text}", add_special_tokens=False)
        assert units.llm_ids[ids].tolist() == running[-len(ids) :]
        assert units.decode(ids) == text


def test_a_first_word_has_the_unit_that_it_has_inside(units):
    said = units.encode("capital of capital")
    assert said[0] == said[-1]


def test_rare_tokens_are_spelt_with_smaller_units():
    tokenizer = toy_tokenizer()
    coarse = CtcUnits.from_llm(TEXTS, tokenizer, min_count=10)
    fine = CtcUnits.from_llm(TEXTS, tokenizer, min_count=3)
    assert len(coarse) < len(fine)
    for text in [*TEXTS, NEW]:
        ids = coarse.encode(text)
        assert 1 not in ids and coarse.decode(ids) == text
    assert len(coarse.encode(TEXTS[0])) > len(fine.encode(TEXTS[0]))


def test_what_cannot_be_written_is_unknown_and_left_out(units):
    ids = units.encode("tea 茶 please")
    assert 1 in ids and units.decode(ids).startswith("tea") and units.decode(ids).endswith("please")


def test_longer_sequences_only_add_text():
    units = CtcUnits.from_llm([*TEXTS, "Ça va, Zoë? 茶"], toy_tokenizer(), min_count=3)
    ids, before = units.encode("Zoë is 茶, Ça va"), ""
    for end in range(len(ids) + 1):
        now = units.decode(ids[:end])
        assert now.startswith(before)
        before = now
    assert before == "Zoë is 茶, Ça va"


@pytest.mark.parametrize("kind", ["llm", "char", "bpe"])
def test_blank_is_first_and_white_space_is_tidied(kind):
    units = made(kind)
    assert units.tokens[:2] == ["<blank>", "<unk>"] and len(units) == len(set(units.tokens))
    assert units.encode(" Hello,\n my  name ") == units.encode("Hello, my name")
    assert units.decode([0, 1]) == "" and min(units.encode(TEXTS[2])) > 1


@pytest.mark.parametrize("kind", ["llm", "char", "bpe"])
def test_saved_and_loaded_they_are_the_same(kind, tmp_path):
    units = made(kind)
    units.save(tmp_path)
    again = CtcUnits.load(tmp_path)
    assert again.tokens == units.tokens and again.llm_ids.tolist() == units.llm_ids.tolist()
    for text in [*TEXTS, NEW]:
        assert again.encode(text) == units.encode(text)
        assert again.decode(again.encode(text)) == units.decode(units.encode(text))
    assert (tmp_path / "tokens.txt").read_text().splitlines()[0] == "<blank>"


def test_embeddings_are_rows_of_the_llm(llm):
    units = CtcUnits.from_llm(TEXTS, llm.tokenizer)
    table, ids = units.embeddings(llm), units.encode("Hello, my name")
    assert table.shape == (len(units), llm.hidden_size) and not table[:2].any()
    assert table[ids].equal(llm.embed(units.llm_ids[ids]))


def test_units_without_embeddings_or_of_another_llm_are_errors(llm):
    with pytest.raises(ConfigError, match="kind 'char'"):
        CtcUnits.from_characters(TEXTS).embeddings(llm)
    with pytest.raises(ConfigError, match="another tokenizer"):
        CtcUnits.from_llm(TEXTS, toy_tokenizer("llama")).embeddings(llm)


def test_a_folder_that_is_none_of_units_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="stage 3"):
        CtcUnits.load(tmp_path)
    (tmp_path / "units.json").write_text("{}")
    with pytest.raises(ConfigError, match="stage 3 again"):
        CtcUnits.load(tmp_path)


def test_words_are_spelled_in_letters_and_each_ends_with_a_space():
    units = made("word")
    assert [units.tokens[i] for i in units.encode("Don’t - quick!")] == [*"don't", "<space>", *"quick", "<space>"]
    assert units.decode([1, 2]) == "Quick fox" and units.decode([]) == ""


def test_words_come_back_from_a_folder(tmp_path):
    made("word").save(tmp_path)
    again = CtcUnits.load(tmp_path)
    assert again.kind == "word" and again.speller.counts == WORDS
    search = again.search(SearchConfig(width=3))
    assert search.lexicon.words == list(WORDS.words) and search.config.width == 3
    assert [again.tokens[label] for label in search.labels.tolist()][:2] == ["'", "a"]
    assert again.tokens[search.space] == "<space>" and made("char").search(SearchConfig()) is None


def test_words_are_the_llms_tokens():
    tokenizer, units = toy_tokenizer(), made("word")
    inside, first = units.word_ids(tokenizer)
    for word, ids, capital in zip(WORDS.words, inside, first, strict=True):
        assert tokenizer.decode(ids[ids >= 0]) == f" {word}"
        assert tokenizer.decode(capital[capital >= 0]) == word.capitalize()
    assert made("char").word_ids(tokenizer) is None


def test_words_of_a_transcript_have_numbers():
    units = made("word")
    numbers = units.word_numbers("Quick, the FOX don\u2019t.")
    assert numbers == [1, -1, 2, 0] and units.decode(numbers[2:]) == "Fox don't"
    with pytest.raises(ConfigError, match="--unit_kind word|kind 'word'"):
        made("char").word_numbers("fox")


def test_names_are_written_as_in_the_middle_of_the_texts():
    texts = ["Is Paris in France?", "I think I'm in paris.", "Paris, in May. May I? It may.", "So may Paris."]
    assert written_forms(texts) == {"france": "France", "i": "I", "i'm": "I'm", "paris": "Paris"}


def test_texts_are_read_one_by_one():
    held: list[weakref.ref] = []

    class Text(str):
        pass

    def texts():
        for number in range(50):
            text = Text(TEXTS[number % len(TEXTS)])
            held.append(weakref.ref(text))
            yield text
            assert sum(one() is not None for one in held) <= 3

    CtcUnits.from_characters(texts())
    CtcUnits.from_llm(texts(), toy_tokenizer())
    CtcUnits.from_words(WORDS.with_texts(map(spelled_words, texts())), written_forms(texts()))


def test_written_forms_are_kept_and_sent(tmp_path):
    tokenizer = toy_tokenizer()
    units = CtcUnits.from_words(WORDS, {"fox": "Fox"})
    units.save(tmp_path)
    again = CtcUnits.load(tmp_path)
    assert again.decode([1, 2]) == "Quick Fox"
    ids = again.word_ids(tokenizer)[0, 2]
    assert tokenizer.decode(ids[ids >= 0]) == " Fox"
    (tmp_path / "forms.tsv").write_text("fox\tFux\n")
    with pytest.raises(TableError, match="forms.tsv, line 1"):
        CtcUnits.load(tmp_path)
