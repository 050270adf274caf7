"""The driver on a toy of a whole model: what comes out, and what the LLM remembers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.load.memory import held_bytes
from freeze_omni.llm.generate import GenerationConfig
from freeze_omni.session import events as ev
from freeze_omni.session.answer import AnswerConfig
from freeze_omni.session.history import hearing, open_turn, starting
from freeze_omni.session.ops import drive, drive_together, execute
from freeze_omni.session.reducer import TurnDetection
from freeze_omni.session.session import SessionConfig, SpeechSession
from freeze_omni.speech_decoder.sampling import SamplingConfig
from tests.session.model import toy_model

ANSWERS = AnswerConfig(generation=GenerationConfig(max_new_tokens=10), sampling=SamplingConfig(top_k=1, max_tokens=20))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_model(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def session(model):
    model.state_head.script, model.state_head.asked = {}, 0
    return SpeechSession(model, SessionConfig(answers=ANSWERS))


def noise(chunks, seed=0):
    return np.random.default_rng(seed).standard_normal(chunks * 2560).astype(np.float32) * 0.1


def reread(session):
    """Last hidden state of the LLM after reading what the session says it remembers, from nothing."""
    model, history = session.model, session.history
    pieces = [model.llm.chat.system(history.system)]
    embeds = [model.llm.embed(torch.tensor(pieces[0]))]
    for number, turn in enumerate(history.turns):
        prefix = model.llm.chat.user_prefix(first=number == 0)
        embeds += [model.llm.embed(torch.tensor(prefix)), turn]
    probe = model.llm.embed(torch.tensor([5]))
    return model.llm(torch.cat([*embeds, probe])[None])[0][0, -1]


def continued(session):
    probe = session.model.llm.embed(torch.tensor([5]))[None]
    return session.model.llm(probe, cache=session.history.cache.fork())[0][0, -1]


def kinds(actions):
    return [type(action).__name__ for action in actions]


def test_pieces_of_any_size_are_heard_as_whole_chunks(session):
    sound = noise(3)
    actions = [a for i in range(0, len(sound), 1000) for a in session.push(sound[i : i + 1000])]
    decisions = [a for a in actions if isinstance(a, ev.StateDecision)]
    assert [d.time_s for d in decisions] == pytest.approx([0.16, 0.32, 0.48])
    assert all(sum(d.probabilities) == pytest.approx(1) for d in decisions)


def test_a_transcript_is_spelled_again_only_when_it_grows(model, monkeypatch):
    sizes, decode = [], model.units.decode
    monkeypatch.setattr(model.units, "decode", lambda ids: sizes.append(len(ids)) or decode(ids))
    turn, texts = open_turn(model, model.llm.new_cache(), model.llm.order.prefix(first=True)), []
    for units in ([4], [], [], [6, 5], []):
        job = hearing(model, noise(1), turn)
        result = execute(model, [next(job)])[0]._replace(units=units)
        _, turn = drive(model, sending(job, result))
        texts.append(turn.text)
    assert sizes == [1, 3]
    assert texts == [decode([4])] * 3 + [decode([4, 6, 5])] * 2 and len(set(texts)) == 2


def sending(job, result):
    """The rest of a job, whose operation has this result."""
    try:
        op = job.send(result)
        while True:
            op = job.send((yield op))
    except StopIteration as end:
        return end.value


def test_an_answer_is_written_and_spoken_and_remembered(session):
    session.model.state_head.script = {2: 1}
    decided = session.push(noise(3))
    assert decided[-2:] == [ev.TranscriptDelta("", final=True), ev.AnswerBegun(1)]
    actions = list(session.answer())
    assert {"TextDelta", "PlayAudio"} <= set(kinds(actions))
    assert session.work() == []
    total = sum(len(a.samples) for a in actions if isinstance(a, ev.PlayAudio))
    assert total and total % 600 == 0
    assert session.handle(ev.Played(total)) == [ev.AnswerEnded("length")]
    assert len(session.history.turns) == 1
    torch.testing.assert_close(continued(session), reread(session), rtol=1e-4, atol=1e-4)


def test_an_idle_session_holds_its_history_and_nothing_else(session):
    session.model.state_head.script = {2: 1}
    session.push(noise(3))
    total = sum(len(action.samples) for action in session.answer() if isinstance(action, ev.PlayAudio))
    session.handle(ev.Played(total))
    assert 0 < held_bytes(session.history) == held_bytes(session)


def test_the_same_audio_gives_the_same_answer(model):
    answers = []
    for _ in range(2):
        model.state_head.script, model.state_head.asked = {2: 1}, 0
        session = SpeechSession(model, SessionConfig(answers=ANSWERS))
        session.push(noise(3))
        answers.append([a.samples for a in session.answer() if isinstance(a, ev.PlayAudio)])
    assert all(np.array_equal(a, b) for a, b in zip(*answers, strict=True))


def test_a_dropped_turn_leaves_no_trace(session):
    before = continued(session)
    session.model.state_head.script = {1: 2}
    assert session.push(noise(2))[-1] == ev.TranscriptDelta("", final=True)
    assert session.turn is None and session.history.turns == ()
    torch.testing.assert_close(continued(session), before)


def test_interrupting_keeps_only_what_was_played(session):
    session.model.state_head.script = {1: 1, 3: 1}
    session.push(noise(2))
    first = list(session.answer())
    total = sum(len(a.samples) for a in first if isinstance(a, ev.PlayAudio))
    whole = len(session.history.turns[0])
    session.handle(ev.Played(total // 2))
    actions = session.push(noise(2, seed=1))
    assert "StopAudio" in kinds(actions) and ev.AnswerEnded("interrupted") in actions
    assert len(session.history.turns) == 2
    assert whole - 10 < len(session.history.turns[0]) < whole
    list(session.answer())
    torch.testing.assert_close(continued(session), reread(session), rtol=1e-4, atol=1e-4)


def test_interrupting_while_the_answer_is_being_made(session):
    session.model.state_head.script = {1: 1, 3: 1}
    session.push(noise(2))
    for _ in range(3):
        session.work()
    session.push(noise(2, seed=1))
    list(session.answer())
    assert len(session.history.turns) == 2
    torch.testing.assert_close(continued(session), reread(session), rtol=1e-4, atol=1e-4)


def test_a_turn_that_may_not_interrupt_is_answered_after_the_answer(session):
    session.configure(replace(session.config, interrupt=False))
    session.model.state_head.script = {0: 1, 1: 1}
    session.push(noise(1))
    assert "StopAudio" not in kinds(session.push(noise(1, seed=1)))
    total = sum(len(action.samples) for action in session.answer() if isinstance(action, ev.PlayAudio))
    actions = session.handle(ev.Played(total))
    assert kinds(actions) == ["AnswerEnded", "TranscriptDelta", "AnswerBegun"]
    list(session.answer())
    assert len(session.history.turns) == 2
    torch.testing.assert_close(continued(session), reread(session), rtol=1e-4, atol=1e-4)


def test_a_typed_turn_is_answered(session):
    actions = session.handle(ev.TextInput("What is the capital of France?")) + list(session.answer())
    assert "TextDelta" in kinds(actions)
    torch.testing.assert_close(continued(session), reread(session), rtol=1e-4, atol=1e-4)


def test_old_turns_leave_a_full_context_and_the_system_prompt_stays(model, monkeypatch):
    monkeypatch.setattr(model.llm.config, "max_position_embeddings", 150)
    session = SpeechSession(model, SessionConfig(max_turn_chunks=5, answers=ANSWERS))
    for number in range(6):
        session.handle(ev.TextInput(f"The cow says moo {number}"))
        list(session.answer())
        session.handle(ev.Played(10**9))
        assert session.history.cache.length <= 150
    assert 1 <= len(session.history.turns) < 6
    torch.testing.assert_close(continued(session), reread(session), rtol=1e-4, atol=1e-4)


def test_a_new_system_prompt_is_read_before_the_history(session):
    session.handle(ev.TextInput("Hello"))
    list(session.answer())
    session.handle(ev.Played(10**9))
    session.handle(ev.SystemPrompt("Be brief."))
    assert session.history.system == "Be brief." and len(session.history.turns) == 1
    torch.testing.assert_close(continued(session), reread(session), rtol=1e-4, atol=1e-4)


def test_a_new_system_prompt_while_the_user_speaks_loses_neither_words_nor_answer(session):
    session.model.state_head.script = {4: 1}
    session.push(noise(2))
    session.configure(replace(session.config, system="Be brief."))
    assert session.turn is not None and session.history.system == "Be brief."
    assert "AnswerBegun" in kinds(session.push(noise(3, seed=1)))
    session.configure(replace(session.config, system="Be kind."))
    assert session.answering is not None and session.history.system == "Be brief."
    list(session.answer())
    session.handle(ev.Played(10**9))
    assert session.history.system == "Be kind." and len(session.history.turns) == 1
    torch.testing.assert_close(continued(session), reread(session), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("samples", [np.zeros((2, 100)), np.array([0.0, np.nan])])
def test_odd_samples_are_refused(session, samples):
    with pytest.raises(ValueError, match="finite samples"):
        session.push(samples)


def test_truncating_an_answer_that_is_over_cuts_the_history(session):
    session.handle(ev.TextInput("Hello"))
    actions = list(session.answer())
    total = sum(len(a.samples) for a in actions if isinstance(a, ev.PlayAudio))
    session.handle(ev.Played(total))
    whole, text = len(session.history.turns[0]), session.kept_text
    session.handle(ev.Truncate(total // 2))
    assert whole - 10 < len(session.history.turns[0]) < whole
    assert text.startswith(session.kept_text) and session.kept_text != text
    torch.testing.assert_close(continued(session), reread(session), rtol=1e-4, atol=1e-4)


def test_an_exchange_from_before_is_read_as_if_it_had_happened(session):
    session.handle(ev.Remember("Hello", "The cow says moo."))
    assert len(session.history.turns) == 1
    torch.testing.assert_close(continued(session), reread(session), rtol=1e-4, atol=1e-4)
    chat = session.model.llm.chat
    ids = chat.dialogue(session.history.system, [("Hello", "The cow says moo.")])
    assert session.history.cache.length == len(ids)


def test_a_text_that_does_not_fit_is_refused_and_the_session_goes_on(model, monkeypatch):
    monkeypatch.setattr(model.llm.config, "max_position_embeddings", 120)
    session = SpeechSession(model, SessionConfig(answers=ANSWERS))
    with pytest.raises(ValueError, match="does not fit into the LLM's context of 120"):
        session.handle(ev.TextInput("moo " * 100))
    session.handle(ev.TextInput("moo"))
    assert session.answering is not None
    assert session.rules.max_turn_chunks < 30


def test_a_context_that_holds_no_turn_is_refused(model, monkeypatch):
    monkeypatch.setattr(model.llm.config, "max_position_embeddings", 60)
    with pytest.raises(ValueError, match="shorten the prompt or the answers"):
        SpeechSession(model, SessionConfig(answers=ANSWERS))


def test_the_user_who_never_stops_stays_within_the_context(model, monkeypatch):
    monkeypatch.setattr(model.llm.config, "max_position_embeddings", 120)
    model.state_head.script = {}
    session = SpeechSession(model, SessionConfig(answers=ANSWERS))
    for number in range(4):
        session.push(noise(20, seed=number))
        list(session.answer())
        session.handle(ev.Played(10**9))
        assert session.history.cache.length <= 120
    assert session.turn is None or session.turn.cache.length <= 120


def test_what_was_said_before_the_gate_opened_is_heard_at_once_as_if_chunk_by_chunk(model):
    sound, outcomes = noise(5), []
    for gated in (False, True):
        model.state_head.script, model.state_head.asked = {}, 0
        session = SpeechSession(model, SessionConfig(gated=gated, pre_roll_ms=640, answers=ANSWERS))
        session.push(sound[: 4 * 2560])
        session.handle(ev.VadOpened())
        actions = session.push(sound[4 * 2560 :])
        outcomes.append((session.turn, session.turn.text, actions[-1].probabilities))
    (one, said, first), (other, same, second) = outcomes
    assert said == same and first == pytest.approx(second, abs=1e-5)
    torch.testing.assert_close(torch.cat(one.body), torch.cat(other.body), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(one.last, other.last, rtol=1e-4, atol=1e-4)


def test_a_turn_answered_before_anything_was_heard(model):
    session = SpeechSession(model, SessionConfig(gated=True, pre_roll_ms=0, answers=ANSWERS))
    session.handle(ev.VadOpened())
    assert session.handle(ev.Respond())[-1] == ev.AnswerBegun(1)
    list(session.answer())
    torch.testing.assert_close(continued(session), reread(session), rtol=1e-4, atol=1e-4)


def test_by_vad_a_plain_session_opens_and_ends_turns_with_the_gate(model):
    model.state_head.script, model.state_head.asked = {1: 1}, 0
    session = SpeechSession(model, SessionConfig(turn_detection=TurnDetection.VAD, answers=ANSWERS))
    session.rules = replace(session.rules, transcribed=False)  # the toy may hear no words
    assert session.push(noise(2)) == []
    session.handle(ev.VadOpened())
    assert {action.state for action in session.push(noise(3)) if isinstance(action, ev.StateDecision)} == {0}
    assert session.handle(ev.VadClosed())[-1] == ev.AnswerBegun(1)
    list(session.answer())
    assert ev.AnswerEnded("interrupted") in session.handle(ev.VadOpened())


def test_by_hand_a_plain_session_answers_when_it_is_asked_to(model):
    model.state_head.script, model.state_head.asked = {1: 1, 3: 2}, 0
    session = SpeechSession(model, SessionConfig(turn_detection=TurnDetection.MANUAL, answers=ANSWERS))
    assert {action.state for action in session.push(noise(5)) if isinstance(action, ev.StateDecision)} == {0}
    assert session.turn is not None and session.handle(ev.Respond())[-1] == ev.AnswerBegun(1)


@pytest.fixture
def keeps_text(tmp_path):
    """A model whose sessions keep words, and whose CTC head says some."""
    model = toy_model(tmp_path)
    model.config = replace(model.config, history="text")
    with torch.no_grad():
        model.ctc.output.weight.normal_(0, 3.0, generator=torch.Generator().manual_seed(2))
        model.ctc.output.bias.zero_()
    return model


def typed_like(session, text):
    """A session in which `text` was typed, and answered the same: what the other keeps of its answer."""
    other = SpeechSession(session.model, replace(session.config, max_new_tokens=10))
    other.handle(ev.TextInput(text))
    list(other.answer())
    start, answer = other._answer_start[0], session.history.turns[0][session._answer_start[0] :]
    turn = torch.cat([other.history.turns[0][:start], answer])
    again = drive(session.model, starting(session.model, session.history.system, (turn,)))
    other.history = again
    return other


def spoken(model):
    model.state_head.script, model.state_head.asked = {2: 1}, 0
    session = SpeechSession(model, SessionConfig(answers=ANSWERS))
    text = "".join(action.text for action in session.push(noise(3)) if isinstance(action, ev.TranscriptDelta)).strip()
    assert text
    return session, text


def same_history(one, other):
    assert one.history.cache.length == other.history.cache.length
    assert [len(turn) for turn in one.history.turns] == [len(turn) for turn in other.history.turns]
    torch.testing.assert_close(continued(one), continued(other), rtol=1e-4, atol=1e-4)


def test_history_as_text_is_that_of_a_typed_dialogue_when_the_next_turn_opens(keeps_text):
    session, text = spoken(keeps_text)
    actions = list(session.answer())
    total = sum(len(action.samples) for action in actions if isinstance(action, ev.PlayAudio))
    session.handle(ev.Played(total))
    same_history(session, typed_like(session, text))
    session.push(noise(1, seed=1))
    assert session.turn is not None and session._heard_after is session.history
    session.handle(ev.Truncate(total // 2))
    torch.testing.assert_close(continued(session), reread(session), rtol=1e-4, atol=1e-4)


def test_history_as_text_of_an_answer_that_was_interrupted_while_it_was_made(keeps_text):
    session, text = spoken(keeps_text)
    for _ in range(6):
        session.work()
    session.handle(ev.Interrupt())
    same_history(session, typed_like(session, text))
    session.handle(ev.TextInput("And why?"))
    list(session.answer())
    assert len(session.history.turns) == 2
    torch.testing.assert_close(continued(session), reread(session), rtol=1e-4, atol=1e-4)


def test_history_as_text_while_the_next_turn_is_spoken_over_the_answer(keeps_text):
    session, text = spoken(keeps_text)
    session.work()
    keeps_text.state_head.script = {4: 1}
    session.push(noise(2, seed=1))
    assert len(session.history.turns) == 2
    list(session.answer())
    session.handle(ev.Played(10**9))
    own = session.model.llm.order.text_turn(text, "")
    assert len(session.history.turns[0]) >= len(own) and session._spoken_text is None
    torch.testing.assert_close(continued(session), reread(session), rtol=1e-4, atol=1e-4)


def test_history_as_text_needs_a_ctc_head(keeps_text):
    with pytest.raises(ValueError, match="set history: speech"):
        replace(keeps_text.config, ctc_units=0)


def test_what_does_not_fit_is_refused_before_the_llm_reads_any_of_it(model, monkeypatch):
    session = SpeechSession(model, SessionConfig(answers=ANSWERS))
    before = session.history
    monkeypatch.setattr(model.llm, "read_rows", lambda *_: pytest.fail("the LLM reads"))
    long = "moo " * 3000
    with pytest.raises(ValueError, match="a system prompt of .* do not fit"):
        session.configure(replace(session.config, system=long))
    with pytest.raises(ValueError, match="a system prompt of"):
        SpeechSession(model, SessionConfig(answers=ANSWERS, system=long))
    for event in (ev.TextInput(long), ev.Remember(long, "Yes."), ev.Remember("Hello", long)):
        with pytest.raises(ValueError, match="a text of .* does not fit"):
            session.handle(event)
    assert session.history is before and session.config.system is None


def test_a_longer_system_prompt_leaves_room_for_an_answer(model, monkeypatch):
    session = SpeechSession(model, SessionConfig(answers=ANSWERS))
    for word in ("one", "two", "three"):
        session.handle(ev.Remember(20 * f"{word} ", "Yes."))
    length, tokens = session.history.cache.length, len(model.llm.order.system("Be brief. " * 5))
    monkeypatch.setattr(model.llm.config, "max_position_embeddings", length + tokens + session._answer_room() - 20)
    session.configure(replace(session.config, system="Be brief. " * 5))
    assert 1 <= len(session.history.turns) < 3
    assert session.history.cache.length + session._answer_room() <= model.llm.context_positions


def test_sessions_in_lock_step_do_what_they_do_alone(model):
    """Of different sounds and lengths: their operations share batches, and nothing else."""
    model.state_head.script, model.state_head.asked = {}, 0
    config = SessionConfig(answers=ANSWERS, turn_detection=TurnDetection.MANUAL)

    def talking(seed):
        session = SpeechSession(model, config)
        actions = yield from session.pushing(noise(3 + seed, seed))
        actions += yield from session.handling(ev.Respond())
        while session.answering is not None:
            actions += yield from session.working()
        return actions

    alone = [drive(model, talking(seed)) for seed in range(3)]
    together = drive_together(model, [talking(seed) for seed in range(3)])
    assert drive_together(model, []) == [] and all(any(isinstance(one, ev.PlayAudio) for one in row) for row in alone)
    for one, other in zip(alone, together, strict=True):
        assert [type(action) for action in one] == [type(action) for action in other]
        texts = [[action.text for action in row if isinstance(action, ev.TextDelta)] for row in (one, other)]
        assert texts[0] == texts[1]
        sounds = [np.concatenate([a.samples for a in row if isinstance(a, ev.PlayAudio)]) for row in (one, other)]
        np.testing.assert_allclose(*sounds, atol=1e-4)
