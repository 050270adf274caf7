"""From letters to words: what is found, and when it is said."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.encoder.lexicon import Lexicon, WordCounts
from freeze_omni.encoder.search import SearchConfig, WordSearch

LETTERS = "acehtu"
BLANK, SPACE = 0, 1
COUNTS = WordCounts({"a": 0.3, "at": 0.1, "cat": 0.1, "cut": 0.05, "the": 0.3}, {("the", "cut"): 0.9})


def search(counts: WordCounts = COUNTS, **config) -> WordSearch:
    labels = [2 + at for at in range(len(LETTERS))]
    return WordSearch(SearchConfig(**config), Lexicon(counts, LETTERS), labels, SPACE, BLANK)


def logits(path: str, sure: float = 20.0) -> torch.Tensor:
    """path: a character a frame, `-` for the blank. (1, T, V)."""
    labels = [BLANK if one == "-" else SPACE if one == " " else 2 + LETTERS.index(one) for one in path]
    return sure * torch.nn.functional.one_hot(torch.tensor([labels]), 2 + len(LETTERS)).float()


def said(found, logits: torch.Tensor) -> str:
    words = found(logits, torch.tensor([logits.shape[1]])).words[0].tolist()
    return " ".join(found.lexicon.words[word] for word in words)


def test_letters_become_words():
    assert said(search(), logits("-tt-he -c-aa-t -----------")) == "the cat"
    assert said(search(), logits("------------------------")) == ""


def test_a_double_letter_needs_a_blank_between():
    counts = WordCounts({"he": 0.1, "hee": 0.1})
    assert said(search(counts), logits("-hee ------------")) == "he"
    assert said(search(counts), logits("-he-e ------------")) == "hee"


def test_a_letter_that_makes_no_word_gives_way():
    """`cet` is no word: the second likeliest letters are, and the words before tell which."""
    heard = logits("the c-e-t -----------", sure=5.0)
    place = 6 + "c-e-t".index("e") - 2
    heard[0, place] = torch.tensor([0.0, 0.0, *(3.0 * (letter in "au") + 3.5 * (letter == "e") for letter in LETTERS)])
    assert said(search(), heard) == "the cut"
    assert said(search(WordCounts({**COUNTS.words})), heard) == "the cat"


def test_a_word_is_said_when_the_next_is_sure_and_the_last_after_silence():
    heard = logits("the cat" + "-" * 17)
    ends = search(silence_frames=6)(heard, torch.tensor([24])).ends[0].tolist()
    assert ends == [1, 1, 1, 2, 2, 2], "at the end of the first chunk with six silent frames"
    heard = logits("the cat " + "-" * 16)
    assert search()(heard, torch.tensor([24])).ends[0].tolist() == [1, 2, 2, 2, 2, 2], "a space ends the word"


def test_the_space_after_the_last_word_may_be_missing():
    assert said(search(), logits("the cat" + "-" * 16)) == "the cat"


def test_half_a_word_is_not_said():
    assert said(search(), logits("the c" + "-" * 16)) == "the"


def test_it_says_words_before_too_many_wait():
    words = {first + second: 0.01 for first in LETTERS for second in LETTERS}
    heard = said(search(WordCounts(words), margin=1e9, most=6), logits("ac- " * 12, sure=2.0)).split()
    assert len(heard) >= 5 and set(heard) == {"ac"}


@pytest.mark.parametrize("lengths", [[26, 11], [12, 26]])
def test_rows_do_not_disturb_each_other(lengths):
    found, heard = search(), torch.cat([logits("-tt-he -c-aa-t -----------")] * 2)
    together = found(heard, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        alone = found(heard[row : row + 1, :length], torch.tensor([length]))
        assert together.words[row, : together.lengths[row]].tolist() == alone.words[0].tolist()


def test_as_if_silence_followed():
    heard = logits("-tt-he -c-aa-t")
    found = search()
    assert found(heard, torch.tensor([14])).lengths.item() == 1
    said = found(torch.cat([heard, heard]), torch.tensor([14, 6]), end=True)
    assert said.lengths.tolist() == [2, 1]


def test_scores_do_not_grow_with_time():
    found = search()
    heard, state = logits("the cat " * 4, sure=1.0), found.initial_state(1)
    for _ in range(50):
        _, state = found.step(heard, state)
    assert torch.logaddexp(state["blank"], state["letter"]).max().abs() < 100
    assert state["prior"].abs().max() < 100


def test_a_word_is_over_at_its_space_or_where_silence_begins():
    """Counted from the start of the call, also where it is said later, in another one."""
    heard = logits("-the -cat" + "-" * 15)
    assert search()(heard, torch.tensor([24])).until.tolist() == [[5, 9]]
    found, state, until = search(), search().initial_state(1), []
    for begin in range(0, 24, 4):
        step, state = found.step(heard[:, begin : begin + 4], state)
        until += [begin + frame for frame in step.until[0].tolist()]
    assert until == [5, 9]
