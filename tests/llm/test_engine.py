"""What every engine of the LLM must do alike: see freeze_omni/llm/engine.py."""

from __future__ import annotations

import gc
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.generate import GenerationConfig, generate_batch
from freeze_omni.llm.llama_library import MOST_SEQUENCES
from freeze_omni.llm.source import LlmError
from tests.llm.gguf_toy import ARCHITECTURES, need_llama_cpp, write_gguf

ENGINES = ["float32", "int8", *(f"gguf {kind}" for kind in ARCHITECTURES), "gguf 8 bits"]
TOLERANCE = {"float32": 1e-4, "int8": 1e-2}  # a share of the states' size; else of keys in 16 bits
IDS = (5, 17, 30, 8, 99, 41, 3, 250, 77, 12, 200, 9)


def open_engine(name: str, folders: dict[str, Path], where: Path) -> Any:
    if not name.startswith("gguf"):
        return FrozenLLM.load(folders["qwen2"], name)
    need_llama_cpp()
    from freeze_omni.llm.llama_cpp import LlamaCppLLM

    kind = name.split()[1] if name.split()[1] in ARCHITECTURES else "qwen2"
    file = write_gguf(folders[kind], where / f"{kind}.gguf", kind, quantised=name == "gguf 8 bits")
    return LlamaCppLLM.load(file, folders[kind])


@pytest.fixture(scope="module", params=ENGINES)
def engine(request, folders, tmp_path_factory):
    llm = open_engine(request.param, folders, tmp_path_factory.mktemp("engine"))
    llm.tolerance = TOLERANCE.get(request.param, 5e-3)
    return llm


def embeds(engine: Any, ids: tuple[int, ...] = IDS) -> Tensor:
    return engine.embed(torch.tensor(ids))


def read(engine: Any, positions: Tensor, cache: Any = None) -> Tensor:
    return engine.read_rows([positions], [engine.new_cache() if cache is None else cache])[0]


def same(engine: Any, found: Tensor, expected: Tensor) -> bool:
    return float((found - expected).norm() / expected.norm()) < engine.tolerance


def test_positions_one_by_one_are_those_all_at_once(engine):
    whole, cache = read(engine, embeds(engine)), engine.new_cache()
    assert whole.shape == (len(IDS), engine.hidden_size) and cache.length == 0
    single = torch.cat([read(engine, one[None], cache) for one in embeds(engine)])
    assert same(engine, single, whole) and cache.length == len(IDS)


def test_a_fork_is_independent(engine):
    cache = engine.new_cache()
    read(engine, embeds(engine)[:5], cache)
    fork = cache.fork()
    other = embeds(engine, (60, 61, 62))
    read(engine, other, fork)
    assert (cache.length, fork.length) == (5, 8)
    assert same(engine, read(engine, embeds(engine)[5:], cache), read(engine, embeds(engine))[5:])
    expected = read(engine, torch.cat([embeds(engine)[:5], other, embeds(engine)[:1]]))[-1:]
    assert same(engine, read(engine, embeds(engine)[:1], fork), expected)


def test_what_was_cut_is_forgotten(engine):
    cache = engine.new_cache()
    read(engine, torch.cat([embeds(engine)[:4], embeds(engine, (60, 61, 62))]), cache)
    fork = cache.fork()
    cache.cut(4)
    assert (cache.length, fork.length) == (4, 7)
    assert same(engine, read(engine, embeds(engine)[4:], cache), read(engine, embeds(engine))[4:])
    expected = read(engine, torch.cat([embeds(engine)[:4], embeds(engine, (60, 61, 62, 9))]))[-1:]
    assert same(engine, read(engine, embeds(engine, (9,)), fork), expected)


def test_rows_of_any_age_are_as_alone(engine):
    old, new = engine.new_cache(), engine.new_cache()
    read(engine, embeds(engine)[:7], old)
    found = engine.read_rows([embeds(engine)[7:8], embeds(engine)[2:]], [old, new])
    assert same(engine, found[0], read(engine, embeds(engine))[7:8])
    assert same(engine, found[1], read(engine, embeds(engine)[2:]))


def test_following_gives_the_last_state_and_logits_where_asked(engine):
    rows = [embeds(engine)[:6], embeds(engine)[3:]]
    outputs = engine.follow_rows(rows, [engine.new_cache(), engine.new_cache()], [False, True])
    expected = [read(engine, row)[-1] for row in rows]
    assert all(same(engine, output.hidden, state) for output, state in zip(outputs, expected, strict=True))
    assert outputs[0].logits is None and outputs[1].logits.shape == (engine.vocab_size,)
    logits = engine.logits(expected[1])
    assert float((outputs[1].logits - logits).norm() / logits.norm()) < 5 * engine.tolerance
    assert torch.allclose(engine.logits(expected[1], [4, 2]), logits[[4, 2]], atol=1e-4)


def test_a_padded_batch_is_read_as_its_rows(engine):
    batch = torch.zeros(2, 6, engine.hidden_size)
    batch[0], batch[1, :3] = embeds(engine)[:6], embeds(engine)[6:9]
    mask = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
    hidden, _ = engine(batch, mask)
    assert same(engine, hidden[0], read(engine, embeds(engine)[:6]))
    assert same(engine, hidden[1, :3], read(engine, embeds(engine)[6:9]))


def test_a_batch_keeps_the_rows_that_are_picked(engine):
    cache = engine.new_cache()
    both = torch.stack([embeds(engine)[:4], embeds(engine)[4:8]])
    engine(both, None, cache)
    cache.pick(torch.tensor([1]))
    hidden, _ = engine(embeds(engine)[None, 8:], None, cache)
    assert same(engine, hidden[0], read(engine, embeds(engine)[4:])[4:])


def test_a_row_without_new_positions_stays_as_it_is(engine):
    cache = engine.new_cache()
    both = torch.stack([embeds(engine)[:4], embeds(engine)[4:8]])
    engine(both, None, cache)
    engine(both, torch.tensor([[True] * 4, [False] * 4]), cache)
    engine(both, torch.zeros(2, 4, dtype=torch.bool), cache)
    hidden, _ = engine(embeds(engine)[None, 8:].repeat(2, 1, 1), None, cache)
    assert same(engine, hidden[1], read(engine, embeds(engine)[4:])[4:])
    assert same(engine, hidden[0], read(engine, torch.cat([both[0], both[0], embeds(engine)[8:]]))[8:])


def test_answers_of_many_are_those_of_single_runs(engine):
    prompts = [list(IDS), list(IDS[3:7]), list(IDS[5:])]
    config = GenerationConfig(6)
    together = generate_batch(engine, prompts, config, keep_hidden=True)
    alone = [generate_batch(engine, [prompt], config)[0] for prompt in prompts]
    assert [one.ids for one in together] == [one.ids for one in alone]
    assert all(one.hidden.shape == (len(one.ids), engine.hidden_size) for one in together)


def test_it_says_what_a_session_asks(engine):
    assert engine.end_ids and engine.hidden_size == 48 and engine.context_positions == 2048
    assert engine.embed(torch.tensor([[1, 2]])).shape == (1, 2, 48)
    assert engine.embed(torch.zeros(0, dtype=torch.long)).shape == (0, 48)  # a chunk without words
    assert engine.device.type == "cpu" and engine.own_positions == 0 and len(engine.fingerprint()) == 64
    assert engine.order.prefix(first=True) and engine.tokenizer.decode([70])


@pytest.fixture(params=sorted(ARCHITECTURES))
def pair(request, folders, tmp_path):
    """One LLM by llama.cpp and by transformers."""
    return open_engine(f"gguf {request.param}", folders, tmp_path), FrozenLLM.load(folders[request.param])


def test_llama_cpp_computes_what_transformers_does(pair):
    ours, theirs = pair
    assert torch.equal(ours.embed(torch.tensor(IDS)), theirs.embed(torch.tensor(IDS)))
    assert (ours.end_ids, ours.vocab_size) == (theirs.end_ids, theirs.vocab_size)
    (found,), (expected,) = (llm.follow_rows([embeds(llm)], [llm.new_cache()], [True]) for llm in pair)
    assert float((found.hidden - expected.hidden).norm() / expected.hidden.norm()) < 5e-3
    assert float((found.logits - expected.logits).norm() / expected.logits.norm()) < 5e-3
    assert found.logits.argmax() == expected.logits.argmax()
    answer = generate_batch(ours, [list(IDS)], GenerationConfig(8))[0].ids
    after = theirs.logits(read(theirs, embeds(theirs, (*IDS, *answer))))[len(IDS) - 1 : -1]
    chosen = after.gather(1, torch.tensor(answer)[:, None])[:, 0]
    assert float((after.amax(1) - chosen).max() / after.std()) < 0.05  # the likeliest, or one that is as likely


def test_a_cache_that_nobody_holds_is_released(pair):
    ours, _ = pair
    for _ in range(600):  # more than there are sequences
        cache = ours.new_cache()
        read(ours, embeds(ours)[:2], cache)
        assert cache.fork().length == 2
    del cache
    gc.collect()
    read(ours, embeds(ours)[:2])
    assert len(ours.context.released) <= 1


@pytest.fixture
def small(folders, tmp_path, monkeypatch):
    """An LLM whose sequences share 256 positions, and may share 512."""
    need_llama_cpp()
    from freeze_omni.llm import llama_cpp

    monkeypatch.setattr(llama_cpp, "LlamaContext", partial(llama_cpp.LlamaContext, first=256, most=512))
    return open_engine("gguf qwen2", folders, tmp_path)


def test_positions_grow_and_what_was_read_stays(small):
    small.tolerance = 5e-3
    long = embeds(small, IDS * 25)  # 300
    early, cache = small.new_cache(), small.new_cache()
    read(small, embeds(small)[:5], early)
    fork = early.fork()
    read(small, long, cache)
    assert small.context.positions == 512
    for one in (early, fork):
        assert same(small, read(small, embeds(small)[5:], one), read(small, embeds(small))[5:])


def test_without_room_nothing_is_read_and_the_error_says_what_to_do(small):
    small.tolerance = 5e-3
    cache, other = small.new_cache(), small.new_cache()
    read(small, embeds(small)[:5], cache)
    with pytest.raises(LlmError, match="all 512 positions of llama.cpp are in use: serve fewer"):
        small.read_rows([embeds(small, IDS * 50), embeds(small)], [cache, other])
    assert (cache.length, other.length) == (5, 0)
    assert same(small, read(small, embeds(small)[5:], cache), read(small, embeds(small))[5:])
    held = [small.new_cache() for _ in range(MOST_SEQUENCES + 1)]
    with pytest.raises(LlmError, match="sequences of llama.cpp are in use"):
        small.read_rows([embeds(small)[:1]] * len(held), held)


def test_caches_may_outlive_the_llm(folders, tmp_path):
    llm = open_engine("gguf qwen2", folders, tmp_path)
    cache = llm.new_cache()
    read(llm, embeds(llm), cache)
    del llm
    gc.collect()
    cache.cut(3)
    assert cache.fork().length == 3
