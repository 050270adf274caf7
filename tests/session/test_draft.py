"""An answer that is begun before the decision is the answer that is given without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from freeze_omni.eval.question import ask
from freeze_omni.llm.generate import GenerationConfig
from freeze_omni.session import events as ev
from freeze_omni.session.answer import AnswerConfig
from freeze_omni.session.session import SessionConfig, SpeechSession
from freeze_omni.speech_decoder.sampling import SamplingConfig
from tests.session.model import MAYBE, QUIET, ScriptedHead, quiet_toy
from tests.session.test_session import continued, reread

DRAWN = GenerationConfig(max_new_tokens=16, temperature=1.0, top_k=20)
ANSWERS = AnswerConfig(generation=DRAWN, sampling=SamplingConfig(top_k=5, max_tokens=24))
EARLY = SessionConfig(answers=ANSWERS, seed=4)
ANSWER, IGNORE = 1, 2


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return quiet_toy(tmp_path_factory.mktemp("toy"))


def session(model, script, config=EARLY):
    """A session whose state head says what `script` has for each chunk."""
    model.state_head = ScriptedHead()
    model.state_head.script = script
    return SpeechSession(model, config)


def sound(*chunks):
    """Chunks that are loud (True) or quiet."""
    draw = np.random.default_rng(5)
    levels = [0.3 if loud else QUIET for loud in chunks]
    return np.concatenate([level * draw.standard_normal(2560) for level in levels]).astype(np.float32)


def say(one, wav, work=99):
    """Chunk by chunk, with so many pieces of work after each."""
    actions = []
    for begin in range(0, len(wav), 2560):
        actions += one.push(wav[begin : begin + 2560])
        for _ in range(work):
            actions += one.work() if one.may_work else []
    return actions


def said(actions):
    sounds = [action.samples for action in actions if isinstance(action, ev.PlayAudio)]
    text = "".join(action.text for action in actions if isinstance(action, ev.TextDelta))
    return text, np.concatenate([np.zeros(0), *sounds])


TALK = sound(True, True, True, False, False, False, False)
HEARD = {4: MAYBE, 5: MAYBE, 6: ANSWER}


@pytest.mark.parametrize("work", [0, 1, 2, 5, 99])
def test_the_answer_is_the_same_as_without_a_draft_however_far_that_came(model, work):
    outcomes = []
    for early in (False, True):
        one = session(model, HEARD, replace(EARLY, early=early))
        actions = say(one, TALK, work) + list(one.answer())
        kinds = [type(action) for action in actions]
        assert kinds.count(ev.AnswerBegun) == 1 and kinds.index(ev.AnswerBegun) < kinds.index(ev.TextDelta)
        assert one.drafts == early and one.draft is None
        torch.testing.assert_close(continued(one), reread(one), rtol=1e-4, atol=1e-4)
        outcomes.append((*said(actions), one.kept_text, one.counts, one.history.cache.length))
    plain, drafted = outcomes
    assert plain[0] == drafted[0] and plain[0] and plain[2:] == drafted[2:]
    assert len(plain[1]) and np.array_equal(plain[1], drafted[1])


def test_the_first_sound_comes_with_the_decision(model):
    one = session(model, HEARD)
    before = say(one, TALK[: 6 * 2560])
    assert not any(isinstance(action, ev.TextDelta | ev.PlayAudio | ev.AnswerBegun) for action in before)
    assert one.answering is None and not one.may_work, "a draft ends with its first sound"
    text, wav = said(one.push(TALK[6 * 2560 :]))
    assert text and len(wav) and one.answering is not None


def test_what_is_dropped_leaves_no_trace_and_the_next_answer_is_what_it_would_be(model):
    """The user goes on after a pause; the draws of the dropped draft are drawn again."""
    talk = sound(True, True, False, False, True, True, False, False)
    script, outcomes = {3: MAYBE, 7: ANSWER}, []
    for early in (False, True):
        one = session(model, script, replace(EARLY, early=early))
        actions = say(one, talk)
        assert one.drafts == early and len(one.history.turns) == 1
        actions += list(one.answer())
        torch.testing.assert_close(continued(one), reread(one), rtol=1e-4, atol=1e-4)
        outcomes.append(said(actions))
    assert outcomes[0][0] == outcomes[1][0] and np.array_equal(outcomes[0][1], outcomes[1][1])


def test_a_turn_that_wants_no_answer_says_nothing_and_is_forgotten(model):
    one = session(model, {4: MAYBE, 5: IGNORE})
    before = continued(one)
    actions = say(one, TALK[: 6 * 2560])
    assert one.drafts == 1 and said(actions)[0] == "" and one.turn is None and one.draft is None
    assert one.history.turns == () and torch.equal(continued(one), before)


def test_another_configuration_drops_a_draft(model):
    one = session(model, HEARD)
    say(one, TALK[: 5 * 2560])
    assert one.draft is not None
    one.configure(replace(EARLY, max_new_tokens=3))
    assert one.draft is None and not one.state.drafting
    actions = say(one, TALK[5 * 2560 :]) + list(one.answer())
    assert one.counts[2] <= 3 and said(actions)[0]


def test_text_alone_is_begun_up_to_its_first_segment(model):
    one = session(model, HEARD, replace(EARLY, speech=False))
    say(one, TALK[: 6 * 2560])
    written = len(one.draft.begun.answer.writer.ids)
    assert 0 < written <= 16 and not one.may_work
    text, wav = said(say(one, TALK[6 * 2560 :]) + list(one.answer()))
    assert text and not len(wav)


def test_no_draft_where_the_model_or_the_adapter_says_so(model, monkeypatch):
    assert model.early == 0.15
    monkeypatch.setattr(model, "config", replace(model.config, early=None))
    one = session(model, HEARD)
    say(one, TALK)
    assert one.drafts == 0 and one.answering is None and len(one.history.turns) == 1


def test_early_is_a_probability(model):
    with pytest.raises(ValueError, match="early: a probability from 0 to below 1"):
        replace(model.config, early=1.5)


def test_a_timed_question_counts_what_was_begun_early(model):
    found = {}
    for early in (False, True):
        session(model, HEARD)  # the head follows its script; `ask` opens its own session
        found[early] = ask(model, TALK, replace(EARLY, early=early), tail_s=9.0)
    assert found[True].text == found[False].text and np.array_equal(found[True].audio, found[False].audio)
    assert found[True].drafts == 1 and "closing" in found[True].spent_s and "closing" not in found[False].spent_s
    for asked in found.values():
        marks = [asked.marks[name] for name in ("asked", "segment", "prefill", "tokens", "audio", "done")]
        assert marks == sorted(marks)
    assert found[True].marks["segment"] == found[True].decided_s < found[False].marks["segment"]
