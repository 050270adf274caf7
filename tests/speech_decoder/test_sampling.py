"""Penalty, top-k, guards and reproducible draws."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.speech_decoder import SamplingConfig
from freeze_omni.speech_decoder.sampling import draw, initial_sampling, penalise, sample
from tests.speech_decoder.toy import TOY

GREEDY = SamplingConfig(top_k=1, penalty_window=0)


def start(config: SamplingConfig, rows: int = 1, text_rows: int = 3) -> dict[str, torch.Tensor]:
    return initial_sampling(torch.full((rows,), text_rows), TOY, config)


def logits_for(**values: float) -> torch.Tensor:
    """(1, V + 4) logits of -1 but for the tokens named t0, t1 …, eos, sos."""
    logits = torch.full((1, TOY.vocabulary), -1.0)
    for name, value in values.items():
        logits[0, getattr(TOY, name) if hasattr(TOY, name) else int(name[1:])] = value
    return logits


def test_a_logit_is_divided_once_for_each_occurrence_negative_ones_too():
    logits = torch.tensor([[4.0, -4.0, 1.0]])
    found = penalise(logits, torch.tensor([[-1, 0, 1, 0]]), 2.0)
    assert found.tolist() == [[1.0, -2.0, 1.0]]


def test_the_sos_counts_and_old_tokens_leave_the_window():
    config = SamplingConfig(top_k=1, penalty=2.0, penalty_window=2)
    state = start(config)
    assert state["recent"].tolist() == [[-1, TOY.sos]]
    logits, said = logits_for(t3=3.0, t5=2.0, t7=1.8), []
    for _ in range(5):
        token, state = sample(logits, state, TOY, config)
        said.append(int(token))
    assert said == [3, 5, 7, 3, 5]


def test_top_k_keeps_the_best_and_their_proportions():
    config = SamplingConfig(top_k=2, penalty_window=0)
    logits = logits_for(t1=2.0, t2=1.0, t4=0.9).expand(4000, -1)
    generator = torch.Generator().manual_seed(0)
    token, _ = sample(logits, start(config, 4000), TOY, config, generator)
    assert set(token.tolist()) == {1, 2}
    share = float((token == 1).float().mean())
    assert share == pytest.approx(1 / (1 + torch.e**-1), abs=0.03)


def test_special_tokens_but_the_eos_are_never_given():
    token, _ = sample(logits_for(sos=9.0, pad=9.0, bos=9.0, t2=0.0), start(GREEDY), TOY, GREEDY)
    assert token.tolist() == [2]
    token, _ = sample(logits_for(eos=9.0), start(GREEDY), TOY, GREEDY)
    assert token.tolist() == [TOY.eos]


def test_guards_hold_the_end_back_and_force_it():
    config = SamplingConfig(top_k=1, penalty_window=0, min_tokens_per_row=1.0, max_tokens_per_row=2.0)
    wants_end, never_ends = logits_for(eos=9.0, t1=0.0), logits_for(t1=9.0)
    for logits, length in ((wants_end, 3), (never_ends, 6)):
        state, said = start(config, text_rows=3), []
        while not said or said[-1] != TOY.eos:
            token, state = sample(logits, state, TOY, config)
            said.append(int(token))
        assert len(said) == length + 1


def test_a_row_with_its_own_generator_does_not_depend_on_its_company():
    weights = torch.rand(3, 5)
    seeds = [torch.Generator().manual_seed(seed) for seed in range(3)]
    together = draw(weights, seeds)
    for row in range(3):
        alone = draw(weights[row : row + 1], [torch.Generator().manual_seed(row)])
        assert alone.tolist() == together[row : row + 1].tolist()


def test_a_draw_never_takes_what_has_no_weight():
    weights = torch.tensor([[0.0, 1.0, 0.0]]).expand(1000, -1)
    assert draw(weights, torch.Generator().manual_seed(0)).unique().tolist() == [1]


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="top_k"):
        SamplingConfig(top_k=0)
    with pytest.raises(ValueError, match="penalty_window: 0"):
        SamplingConfig(penalty=0.0)
