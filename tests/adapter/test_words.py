"""The adapter of recognised words: what the LLM reads, and when."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.adapter.words import WordAdapter, WordAdapterConfig, WordTokens
from freeze_omni.encoder.search import Said

TABLE = torch.randn(5, 6)
IDS = torch.tensor([[0, -1], [1, 2], [3, 4]])
WORDS = WordTokens(torch.stack([IDS, IDS]), lambda ids: TABLE[ids])
SAID = Said(torch.tensor([[1, 0], [2, 0]]), torch.tensor([2, 1]), torch.tensor([[0, 2], [1, 1]]), torch.zeros(2, 2))


def test_the_llm_reads_the_tokens_of_the_words():
    adapter = WordAdapter(WordAdapterConfig(), 4, 6, WORDS)
    output = adapter(torch.randn(2, 8, 4), torch.tensor([8, 6]), said=SAID)
    assert output.lengths.tolist() == [3, 2] and output.ends.tolist() == [[0, 3], [2, 2]]
    assert torch.equal(output.embeds[0], TABLE[[1, 2, 0]]) and torch.equal(output.embeds[1, :2], TABLE[[3, 4]])


def test_what_is_learned_is_added_by_the_chunk_that_says_the_word():
    adapter, enc = WordAdapter(WordAdapterConfig(), 4, 6, WORDS), torch.randn(2, 8, 4)
    torch.nn.init.normal_(adapter.project.weight)
    output = adapter(enc, torch.tensor([8, 8]), said=SAID)
    learned = adapter.project(enc[0, 4:].mean(0))
    torch.testing.assert_close(output.embeds[0], TABLE[[1, 2, 0]] + learned)
    torch.testing.assert_close(output.embeds[1, 0], TABLE[3] + adapter.project(enc[1, :4].mean(0)))


def test_words_after_the_sound_belong_to_its_last_chunk():
    """Cached features may end before the silence in which the last word is said."""
    said = Said(torch.tensor([[1, 0]]), torch.tensor([2]), torch.tensor([[0, 1, 2]]), torch.zeros(1, 2))
    output = WordAdapter(WordAdapterConfig(), 4, 6, WORDS)(torch.randn(1, 8, 4), torch.tensor([8]), said=said)
    assert output.ends.tolist() == [[0, 3]] and output.lengths.tolist() == [3]


def test_the_first_word_of_a_stream_has_a_capital():
    words = WordTokens(torch.tensor([[[0], [1]], [[2], [3]]]), lambda ids: TABLE[ids])
    adapter, enc = WordAdapter(WordAdapterConfig(), 4, 6, words), torch.randn(1, 4, 4)
    nothing = Said(
        torch.zeros(1, 0, dtype=torch.long), torch.tensor([0]), torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 0)
    )
    two = Said(torch.tensor([[1, 0]]), torch.tensor([2]), torch.tensor([[2]]), torch.zeros(1, 2))
    state = adapter.initial_state(1)
    sent = []
    for said in (nothing, two, two):
        output, state = adapter.step(enc, state, said=said)
        sent.append(output.embeds[0])
    assert torch.equal(torch.cat(sent), TABLE[[3, 0, 1, 0]])


def test_nothing_said_sends_nothing():
    said = Said(
        torch.zeros(1, 0, dtype=torch.long), torch.tensor([0]), torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, 0)
    )
    output = WordAdapter(WordAdapterConfig(), 4, 6, WORDS)(torch.randn(1, 8, 4), torch.tensor([8]), said=said)
    assert output.embeds.shape == (1, 0, 6) and output.ends.tolist() == [[0, 0]]


def test_the_llms_rows_are_neither_saved_nor_trained():
    adapter = WordAdapter(WordAdapterConfig(), 4, 6, WORDS)
    assert set(adapter.state_dict()) == {"project.weight", "project.bias"}
    assert len(list(adapter.parameters())) == 2


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="--unit_kind word"):
        WordAdapter(WordAdapterConfig(), 4, 6)
    with pytest.raises(ValueError, match="pass said"):
        WordAdapter(WordAdapterConfig(), 4, 6, WORDS)(torch.randn(1, 8, 4), torch.tensor([8]))
