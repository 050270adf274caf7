"""A session that hears ahead: as if the silence that has just begun went on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from freeze_omni.adapter.choice import AdapterChoice
from freeze_omni.adapter.words import WordAdapterConfig
from freeze_omni.encoder.lexicon import WordCounts
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.units import CtcUnits
from freeze_omni.session import events as ev
from freeze_omni.session.history import AHEAD_CHUNKS, hearing, open_turn, starting
from freeze_omni.session.ops import Hear, drive
from freeze_omni.session.session import SessionConfig, SpeechSession
from freeze_omni.system import FreezeOmni
from tests.toy import toy_config, toy_llm, toy_system

CHUNK = 2560
NEVER = SessionConfig(threshold=1.0)  # the state head decides nothing by itself


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """It says words a while after they were spoken, takes any turn ahead and drops none."""
    llm = FrozenLLM.load(toy_llm(tmp_path_factory.mktemp("toy") / "llm"))
    units = CtcUnits.from_words(WordCounts({"the": 0.2, "cat": 0.1, "sat": 0.1, "on": 0.1}))
    adapter = AdapterChoice(words=WordAdapterConfig())
    model = FreezeOmni(
        toy_config(llm.hidden_size, len(units), adapter=adapter, ahead=0.0, no_answer_above=1.0), llm, units
    )
    model.ctc.output.weight.data *= 20  # some letter is likelier than others
    model.set_voice(0.1 * torch.randn(24000))
    return model


def speech(chunks: int, silent: int = 0) -> np.ndarray:
    loud = 0.2 * np.random.default_rng(1).standard_normal(chunks * CHUNK)
    return np.concatenate([loud, np.zeros(silent * CHUNK)]).astype(np.float32)


def opened(model):
    history = drive(model, starting(model, "Be kind."))
    return open_turn(model, history.cache.fork(), history.prefix(model))


def test_ahead_is_what_is_heard_when_the_silence_has_come(model):
    end = model.listening.end_samples
    assert end > 0
    before = drive(model, hearing(model, speech(6), opened(model), ahead=True))
    assert before[0].ahead is None and before[1].ahead is None, "the user speaks"
    heard, turn = drive(model, hearing(model, speech(0, 1), before[1], ahead=True))
    length = turn.cache.length
    came, after = drive(model, hearing(model, np.zeros(end, np.float32), turn))
    assert heard.ahead.transcript == came.transcript and heard.ahead.positions == came.positions
    np.testing.assert_allclose(heard.ahead.probabilities, came.probabilities, atol=1e-5)
    assert turn.ahead.text == after.text and turn.ahead.cache.length == after.cache.length >= length
    assert after.ahead is None


def test_only_the_beginning_of_a_silence_is_heard_ahead(model):
    _, turn = drive(model, hearing(model, speech(6), opened(model)))
    ahead = []
    for _ in range(AHEAD_CHUNKS + 2):
        heard, turn = drive(model, hearing(model, speech(0, 1), turn, ahead=True))
        ahead.append(heard.ahead is not None)
    assert ahead == [True] * AHEAD_CHUNKS + [False] * 2


def test_the_turn_ends_as_it_was_heard_ahead(model):
    waiting = SpeechSession(model, NEVER)
    waiting.push(speech(6))
    assert waiting.turn is not None and waiting.answering is None
    done = waiting.push(speech(0, 1))
    assert waiting.turn is None and waiting.answering is not None
    (decision,) = [one for one in done if isinstance(one, ev.StateDecision)]
    assert decision.state == ev.ANSWER
    other = SpeechSession(model, NEVER)
    other.push(speech(6))
    _, turn = drive(model, hearing(model, speech(0, 1), other.turn))
    _, turn = drive(model, hearing(model, np.zeros(model.listening.end_samples, np.float32), turn))
    body = torch.cat(turn.body)
    assert torch.allclose(waiting.history.turns[-1][: len(body)], body.to(waiting.history.turns[-1].dtype), atol=1e-5)
    assert any(isinstance(one, ev.TextDelta) for one in waiting.answer())


def test_a_model_that_hears_at_once_need_not(tmp_path):
    model = toy_system(tmp_path / "llm", ahead=0.0)
    assert model.listening.end_samples == 0
    assert SpeechSession(model, NEVER).rules.ahead is None
    with pytest.raises(ValueError, match="ahead: a probability"):
        toy_system(tmp_path / "other", ahead=1.5)


def test_without_it_nothing_is_heard_twice(model, monkeypatch):
    heard = []

    def counted(job):
        op = next(job)
        while True:
            heard.append(type(op))
            try:
                op = job.send(drive(model, once(op)))
            except StopIteration:
                return

    def once(op):
        return (yield op)

    counted(hearing(model, speech(0, 1), drive(model, hearing(model, speech(6), opened(model)))[1]))
    assert heard.count(Hear) == 1
