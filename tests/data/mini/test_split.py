from pathlib import Path

import pytest
from mini_facts import make_questions
from mini_split import SplitConfig, coverage, split_questions


def test_nothing_held_out_is_trained_and_every_word_is(toy_facts: Path) -> None:
    config = SplitConfig(test=6, dev=4, new_phrasings=0.5, min_word_count=2)
    split = split_questions(make_questions(toy_facts), config, seed=1)
    assert (len(split["test"]), len(split["dev"])) == (6, 4)
    texts = {name: {q.question for q in part} for name, part in split.items()}
    assert not texts["train"] & (texts["test"] | texts["dev"]) and not texts["test"] & texts["dev"]
    assert sum(q.held_out for q in split["test"]) == 3
    assert not any(q.held_out for q in split["train"])
    assert min(coverage(texts["test"] | texts["dev"], texts["train"]).values()) >= 2


def test_the_seed_decides(toy_facts: Path) -> None:
    questions = make_questions(toy_facts)
    config = SplitConfig(test=6, dev=4, min_word_count=1)
    assert split_questions(questions, config, 1) == split_questions(questions, config, 1)
    assert split_questions(questions, config, 1) != split_questions(questions, config, 2)


def test_too_small_tables_are_told(toy_facts: Path) -> None:
    with pytest.raises(ValueError, match="of 60 test questions can be held out"):
        split_questions(make_questions(toy_facts), SplitConfig(test=60, dev=1))


def test_a_held_out_phrasing_with_a_new_word_is_not_taken(toy_facts: Path) -> None:
    templates = toy_facts / "templates.yaml"
    templates.write_text(templates.read_text().replace("Do you know what", "Pray tell what"))
    config = SplitConfig(test=4, dev=1, new_phrasings=1.0, min_word_count=1)
    split = split_questions(make_questions(toy_facts), config)
    assert not any("Pray" in q.question for q in split["test"])
