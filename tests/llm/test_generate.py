"""Generation: greedy equals a plain loop, batches equal single runs, sampling keeps its limits."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.generate import GenerationConfig, choose, generate, generate_batch

QUESTIONS = ["Hello", "What is the capital of France?", "Which animal is the largest?", "tea"]


def prompt(llm, question):
    return llm.chat.dialogue("Be brief.", [(question, None)])


def run(llm, question, config, generator=None):
    cache = llm.new_cache()
    hidden, _ = llm(llm.embed(torch.tensor([prompt(llm, question)])), cache=cache)
    return list(generate(llm, hidden[0, -1], cache, config, generator)), cache


@torch.no_grad()
def plain(llm, question, steps):
    """Greedy decoding without any cache, from the wrapped model."""
    ids = prompt(llm, question)
    made = []
    for _ in range(steps):
        token = int(llm.model(torch.tensor([ids + made])).logits[0, -1].argmax())
        if token in llm.end_ids:
            break
        made.append(token)
    return made


def test_greedy_is_a_plain_loop(llm):
    for question in QUESTIONS:
        made, _ = run(llm, question, GenerationConfig(max_new_tokens=12))
        assert [token for token, _ in made] == plain(llm, question, 12)


def test_a_token_comes_with_the_state_that_predicted_it(llm):
    made, _ = run(llm, QUESTIONS[1], GenerationConfig(max_new_tokens=6))
    for token, hidden in made:
        assert int(llm.logits(hidden).argmax()) == token


def test_the_last_token_of_a_cut_answer_stays_out_of_the_cache(llm):
    made, cache = run(llm, QUESTIONS[1], GenerationConfig(max_new_tokens=8))
    assert len(made) == 8 and cache.length == len(prompt(llm, QUESTIONS[1])) + 7


def test_the_end_token_stays_out_of_the_cache(folders):
    llm = FrozenLLM.load(folders["qwen2"])
    free, _ = run(llm, QUESTIONS[1], GenerationConfig(max_new_tokens=8))
    third = free[3][0]
    stop = next(i for i, (token, _) in enumerate(free) if token == third)
    llm.model.generation_config.eos_token_id = [third]
    made, cache = run(llm, QUESTIONS[1], GenerationConfig(max_new_tokens=8))
    assert [token for token, _ in made] == [token for token, _ in free[:stop]]
    assert cache.length == len(prompt(llm, QUESTIONS[1])) + stop


@pytest.mark.parametrize("kind", ["qwen2", "gemma"])
def test_a_batch_gives_what_single_runs_give(folders, kind):
    llm = FrozenLLM.load(folders[kind])
    config = GenerationConfig(max_new_tokens=10)
    singles = [run(llm, question, config)[0] for question in QUESTIONS]
    # let some rows end early: the last token of one run becomes an end token
    llm.model.generation_config.eos_token_id = [singles[0][4][0]]
    singles = [run(llm, question, config)[0] for question in QUESTIONS]
    answers = generate_batch(llm, [prompt(llm, question) for question in QUESTIONS], config, keep_hidden=True)
    for single, answer in zip(singles, answers, strict=True):
        assert answer.ids == [token for token, _ in single]
        assert answer.ended == (len(single) < 10)
        if single:
            expected = torch.stack([state for _, state in single])
            torch.testing.assert_close(answer.hidden, expected, atol=1e-4, rtol=1e-3)


def test_sampling_keeps_to_top_k_and_top_p():
    logits = torch.tensor([[4.0, 3.0, 2.0, 1.0, 0.0]]).expand(500, 5)
    drawn = choose(logits, GenerationConfig(temperature=1.0, top_k=3))
    assert set(drawn.tolist()) == {0, 1, 2}
    drawn = choose(logits, GenerationConfig(temperature=1.0, top_p=0.7))  # 0.64, 0.87
    assert set(drawn.tolist()) == {0, 1}
    assert set(choose(logits, GenerationConfig()).tolist()) == {0}


def test_the_same_generator_draws_the_same(llm):
    config = GenerationConfig(max_new_tokens=8, temperature=1.5)
    runs = [[t for t, _ in run(llm, "Hello", config, torch.Generator().manual_seed(seed))[0]] for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_bad_settings_are_errors():
    for setting in ({"top_p": 0.0}, {"max_new_tokens": 0}, {"temperature": -1.0}):
        with pytest.raises(ValueError):
            GenerationConfig(**setting)
