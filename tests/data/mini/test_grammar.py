"""Questions from patterns over lists of words."""

import random
from pathlib import Path

import pytest
from mini_grammar import ask, fill, read_grammar

from freeze_omni.config import ConfigError

OPEN = Path(__file__).parents[3] / "egs/mini/s2s1/local/open"


def grammar(tmp_path: Path, patterns: str, lists: str = "animal: [ant, mouse/mice, fox, pony, unicorn]"):
    (tmp_path / "q.yaml").write_text(
        f"lists: {{{lists}}}\npatterns:\n" + "".join(f"- {p}\n" for p in patterns.split("|"))
    )
    return read_grammar(tmp_path / "q.yaml")


@pytest.mark.parametrize(
    ("pattern", "entry", "said"),
    [
        ("what do {animal:s} eat?", "mouse/mice", "What do mice eat?"),
        ("what do {animal:s} eat?", "fox", "What do foxes eat?"),
        ("what do {animal:s} eat?", "pony", "What do ponies eat?"),
        ("what do {animal:s} eat?", "monkey", "What do monkeys eat?"),
        ("is it {animal:a}?", "ant", "Is it an ant?"),
        ("is it {animal:a}?", "unicorn", "Is it a unicorn?"),
        ("is it {animal:a}?", "hour", "Is it an hour?"),
        ("is it {animal:a}?", "mouse/mice", "Is it a mouse?"),
        ("where is the {animal}?", "mouse/mice", "Where is the mouse?"),
    ],
)
def test_a_slot_has_the_form_that_is_asked_for(tmp_path, pattern, entry, said):
    read = grammar(tmp_path, "Who?", f"animal: [{entry}]")
    assert fill(read, pattern, random.Random(0)) == said


def test_questions_are_different_and_patterns_take_turns(tmp_path):
    read = grammar(tmp_path, "Who is {animal:a}?|Is {animal:a} like {animal:a}?|Who is there?")
    asked = ask(read, read.patterns, 100, random.Random(0))
    assert len(asked) == len(set(asked)) and "Who is there?" in asked
    assert sum(text.startswith("Who is a") for text in asked) == 5  # all of them, then they are used up
    likes = [text[3:-1].split(" like ") for text in asked if text.startswith("Is")]
    assert 12 < len(likes) <= 20 and all(one != other for one, other in likes)
    first = ask(read, read.patterns, 2, random.Random(0))
    assert len({text.split()[0] + text.split()[2] for text in first}) == 2
    assert ask(read, read.patterns, 9, random.Random(1)) == ask(read, read.patterns, 9, random.Random(1))


def test_a_slot_that_is_no_list_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"q.yaml: 'Who is \{bird\}\?' asks for 'bird'"):
        grammar(tmp_path, "Who is {bird}?")
    with pytest.raises(ConfigError, match="write a slot as"):
        grammar(tmp_path, "Who is {animal:x}?")


def test_the_recipe_asks_thousands_of_plain_questions():
    read = read_grammar(OPEN / "questions.yaml")
    assert len(read.patterns) == len(set(read.patterns)) > 300
    slots = " ".join(read.patterns)
    assert [name for name in read.lists if f"{{{name}" not in slots] == [], "lists that no pattern uses"
    assert all(len(entries) == len(set(entries)) for entries in read.lists.values())
    asked = ask(read, read.patterns, 5000, random.Random(0))
    assert len(asked) == 5000
    odd = [text for text in asked if text[-1] not in ".?" or set(text) & set('{}/"0123456789\n') or "  " in text]
    assert not odd
    assert max(len(text.split()) for text in asked) <= 20
