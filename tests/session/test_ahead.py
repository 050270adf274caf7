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
from freeze_omni.session.reducer import TurnConfig, TurnDetection
from freeze_omni.session.session import SessionConfig, SpeechSession
from freeze_omni.system import FreezeOmni
from tests.session.test_reducer import ANSWER, GO_ON, IGNORE, run
from tests.session.test_reducer import CHUNK as SILENCE
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


@pytest.mark.parametrize(("above", "heard"), [(0.6, True), (0.8, False), (None, False)])
def test_a_turn_may_end_by_what_is_heard_ahead(above, heard):
    ahead = ev.Ahead(" there", ANSWER, 2)
    state, out = run([SILENCE, ev.Heard("hi", GO_ON, 1, ahead)], TurnConfig(ahead=above))
    assert state.answering == heard
    if heard:
        end = [ev.StateDecision(1, ANSWER, 0.16), ev.TranscriptDelta("", final=True), ev.AnswerTurn()]
        assert out[1] == [ev.TranscriptDelta("hi"), ev.HearAhead(), ev.TranscriptDelta(" there"), *end]
    else:
        assert out[1] == [ev.TranscriptDelta("hi"), ev.StateDecision(0, GO_ON, 0.16)]


def test_heard_ahead_only_state_1_counts_and_only_before_a_decision():
    config = TurnConfig(ahead=0.5)
    for ahead in (ev.Ahead("", IGNORE), ev.Ahead("", GO_ON)):
        _, out = run([SILENCE, ev.Heard("hi", GO_ON, 1, ahead)], config)
        assert out[1][-1] == ev.StateDecision(0, GO_ON, 0.16)
    _, out = run([SILENCE, ev.Heard("uh", IGNORE, 1, ev.Ahead("", ANSWER))], config)
    assert ev.DropTurn() in out[1] and ev.HearAhead() not in out[1]
    _, out = run([SILENCE, ev.Heard("hi", GO_ON, 1, ev.Ahead("", ANSWER))], TurnConfig(TurnDetection.MANUAL, ahead=0.5))
    assert ev.HearAhead() not in out[1]


def test_a_draft_ends_with_words_that_are_heard_ahead():
    """One that has read all of the turn is said with the decision."""
    config, maybe = TurnConfig(ahead=0.5, early=0.1), (0.7, 0.2, 0.1)
    for ahead, kept in ((ev.Ahead("", ANSWER), True), (ev.Ahead(" there", ANSWER, 1), False)):
        log = [SILENCE, ev.Heard("hi", maybe, 1), ev.Wrote("Hello."), SILENCE, ev.Heard("", maybe, 0, ahead)]
        _, out = run(log, config)
        assert ev.DraftAnswer() in out[1] and ev.AnswerTurn() in out[4]
        assert (ev.TextDelta("Hello.") in out[4]) == kept and (ev.DropDraft() in out[4]) != kept
