"""Scripted event logs with the actions that must come of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from freeze_omni.session.events import (
    AnswerEnded,
    AnswerMade,
    AnswerText,
    AnswerTurn,
    AudioChunk,
    Clear,
    DraftAnswer,
    DropDraft,
    DropTurn,
    Heard,
    Interrupt,
    KeepTurn,
    Listen,
    OpenTurn,
    PlayAudio,
    Played,
    ReadSystem,
    Remember,
    Respond,
    Spoke,
    StateDecision,
    StopAnswer,
    StopAudio,
    SystemPrompt,
    TextDelta,
    TextInput,
    Timeout,
    TranscriptDelta,
    Truncate,
    VadClosed,
    VadOpened,
    Wrote,
)
from freeze_omni.session.reducer import (
    MOST_DRAFTS,
    Spoken,
    TurnConfig,
    TurnDetection,
    drop_draft,
    heard_tokens,
    initial_turns,
    step,
)

CHUNK = AudioChunk(np.zeros(2560, dtype=np.float32))
GO_ON, ANSWER, IGNORE = (0.9, 0.05, 0.05), (0.2, 0.7, 0.1), (0.1, 0.2, 0.7)


def run(log, config=None, state=None):
    """The final state, and for each event the names of what came of it."""
    config = config or TurnConfig()
    state = initial_turns(config) if state is None else state
    out = []
    for event in log:
        state, found = step(config, event, state)
        out.append(found)
    return state, out


def names(found):
    return [type(item).__name__ for item in found]


def answering(played=0):
    """A state in the middle of an answer of two seconds that says ten tokens."""
    log = [CHUNK, Heard("hi", ANSWER), Spoke(np.zeros(48000), 0, 10, True), Played(played)]
    return run(log)[0]


def test_a_turn_opens_is_heard_and_answered():
    state, out = run([CHUNK, Heard("hel", GO_ON), CHUNK, Heard("lo", ANSWER)])
    assert names(out[0]) == ["OpenTurn", "Listen"]
    assert out[1] == [TranscriptDelta("hel"), StateDecision(0, GO_ON, 0.16)]
    assert names(out[2]) == ["Listen"]
    assert out[3] == [
        TranscriptDelta("lo"),
        StateDecision(1, ANSWER, 0.32),
        TranscriptDelta("", final=True),
        AnswerTurn(),
    ]
    assert state.answering and not state.listening


def test_state_2_drops_the_turn_and_speaking_goes_on():
    state, out = run([CHUNK, Heard("uh", IGNORE), Spoke(np.ones(3), 10, 11, False)], state=answering())
    assert DropTurn() in out[1]
    assert StopAudio() not in out[1] and names(out[2]) == ["PlayAudio"]
    assert state.answering and not state.listening


def test_what_is_hardly_state_2_is_listened_to():
    unsure = (0.1, 0.1, 0.8)
    for above, dropped in ((0.5, True), (0.9, False)):
        _, out = run([CHUNK, Heard("the capital of", unsure)], TurnConfig(no_answer_above=above))
        assert (DropTurn() in out[1]) == dropped


def test_state_1_while_speaking_stops_at_once_and_keeps_what_was_played():
    _, out = run([CHUNK, Heard("stop", ANSWER)], state=answering(played=24000))
    assert out[1][-4:] == [StopAudio(), StopAnswer(5), AnswerEnded("interrupted"), AnswerTurn()]


def test_the_gate_takes_what_was_said_before_it_opened():
    config = TurnConfig(gated=True, pre_roll_chunks=2)
    chunks = [AudioChunk(np.full(2560, value, dtype=np.float32)) for value in range(4)]
    _, out = run([*chunks[:3], VadOpened(), chunks[3]], config)
    assert out[:3] == [[], [], []]
    assert names(out[3]) == ["OpenTurn", "Listen"]
    assert np.array_equal(out[3][1].samples, np.repeat(np.float32([1, 2]), 2560))
    assert out[4] == [Listen(chunks[3].samples)]


def test_no_pre_roll_keeps_nothing():
    _, out = run([CHUNK, VadOpened()], TurnConfig(gated=True, pre_roll_chunks=0))
    assert out[1] == [OpenTurn()]


@pytest.mark.parametrize(("words", "last"), [("yes", AnswerTurn), ("", DropTurn)])
def test_long_silence_behind_the_gate_ends_the_turn(words, last):
    config = TurnConfig(gated=True, silent_chunks=2)
    log = [VadOpened(), CHUNK, Heard(words, GO_ON), VadClosed(), CHUNK, Heard("", GO_ON), CHUNK]
    state, out = run(log, config)
    assert state.listening
    state, out = run([Heard("", GO_ON)], config, state)
    assert isinstance(out[0][-1], last) and not state.listening


def test_a_user_who_never_stops_is_answered():
    config = TurnConfig(max_turn_chunks=3)
    log = [CHUNK, Heard("a", GO_ON)] * 3
    _, out = run(log, config)
    assert AnswerTurn() not in out[3] and out[5][-1] == AnswerTurn()


def test_timeout_answers_words_and_drops_silence():
    assert run([CHUNK, Heard("a", GO_ON), Timeout()])[1][2][-1] == AnswerTurn()
    assert run([CHUNK, Heard("", GO_ON), Timeout()])[1][2][-1] == DropTurn()
    assert run([Timeout()])[1] == [[]]


def test_typed_text_replaces_the_open_turn_and_stops_speech():
    _, out = run([CHUNK, TextInput("what?")], state=answering(played=48000))
    assert out[1] == [
        DropTurn(),
        StopAudio(),
        StopAnswer(10),
        AnswerEnded("interrupted"),
        AnswerText("what?"),
    ]
    assert run([TextInput("  ")])[1] == [[]]


def test_interrupt_stops_only_what_speaks():
    assert run([Interrupt()], state=answering())[1][0][:2] == [StopAudio(), StopAnswer(0)]
    assert run([Interrupt()])[1] == [[]]
    assert run([Interrupt(answer=7)], state=answering())[1] == [[]]


def test_an_answer_ends_when_made_and_played():
    state = answering()
    state, out = run([AnswerMade(cut=False), Played(47999), Played(48000)], state=state)
    assert out == [[], [], [AnswerEnded("done")]]
    assert not state.answering
    assert run([AnswerMade(cut=True), Played(48000)], state=answering())[1][1] == [AnswerEnded("length")]


def test_late_results_of_a_stopped_answer_are_dropped():
    state, _ = run([Interrupt()], state=answering())
    late = [Wrote("x"), Spoke(np.ones(5), 0, 3, False), AnswerMade(False), Played(5)]
    assert run(late, state=state)[1] == [[], [], [], []]


def test_text_and_audio_pass_through_in_order():
    sound = np.ones(5)
    _, out = run([Wrote("Hi"), Spoke(sound, 10, 12, False)], state=answering())
    assert out == [[TextDelta("Hi")], [PlayAudio(sound)]]


def test_a_new_system_prompt_between_turns_and_in_one():
    assert run([SystemPrompt("Be brief.")])[1] == [[ReadSystem("Be brief.")]]
    state, out = run([CHUNK, SystemPrompt("Be brief."), Respond()])
    assert out[1] == [ReadSystem("Be brief.")], "and what was said stays"
    assert out[2] == [TranscriptDelta("", final=True), AnswerTurn()]


def test_a_new_system_prompt_waits_for_the_end_of_the_answer():
    log = [SystemPrompt("Be brief."), SystemPrompt("Be kind."), AnswerMade(cut=False), Played(48000)]
    state, out = run(log, state=answering())
    assert out == [[], [], [], [AnswerEnded("done"), ReadSystem("Be kind.")]] and state.system is None
    _, out = run([SystemPrompt("Be brief."), TextInput("what?")], state=answering())
    assert names(out[1]) == ["StopAudio", "StopAnswer", "AnswerEnded", "ReadSystem", "AnswerText"]


def test_heard_tokens_within_finished_and_unfinished_segments():
    done = Spoken(0, 4, 0, 1000, ends=True)
    open_ = Spoken(4, 14, 1000, 1500, ends=False)
    assert heard_tokens((done, open_), 0, 100) == 0
    assert heard_tokens((done, open_), 500, 100) == 2
    assert heard_tokens((done, open_), 1000, 100) == 4
    # 500 of guessed 1000 samples are there: half of the ten tokens
    assert heard_tokens((done, open_), 1500, 100) == 9
    assert heard_tokens((), 1500, 100) == 0


def test_the_reducer_forgets_nothing_that_it_was_given():
    """The same log from the same state gives the same, and the state given is not changed."""
    config, log = TurnConfig(), [CHUNK, Heard("a", GO_ON), CHUNK, Heard("b", ANSWER)]
    start = initial_turns(config)
    assert run(log, config, start)[0] == run(log, config, start)[0]
    assert start == initial_turns(config)


def test_what_is_no_event_is_refused():
    with pytest.raises(TypeError, match="str is not an event"):
        run(["hello"])


def test_state_1_while_speaking_stops_within_the_step_that_decides():
    """No chunk lies between the one that was decided on and the stop: 160 ms and the time of the step itself."""
    state, out = run([CHUNK, Heard("stop", ANSWER)], state=answering(played=12000))
    assert StopAudio() in out[1] and state.chunks == 2
    assert out[1].index(StopAudio()) < out[1].index(AnswerTurn())


def test_side_talk_in_a_row_never_answers():
    log = [CHUNK, Heard("she said", IGNORE)] * 5
    _, out = run(log)
    assert AnswerTurn() not in [item for found in out for item in found]


def test_an_empty_turn_is_dropped_and_the_next_one_opens():
    config = TurnConfig(gated=True, silent_chunks=1)
    log = [VadOpened(), VadClosed(), CHUNK, Heard("", GO_ON), CHUNK, VadOpened(), CHUNK, Heard("hi", ANSWER)]
    state, out = run(log, config)
    assert out[3][-1] == DropTurn() and out[4] == []
    assert names(out[5]) == ["OpenTurn", "Listen"] and out[7][-1] == AnswerTurn()
    assert state.answering


def test_long_silence_with_an_open_gate_costs_nothing_but_listening():
    state, out = run([CHUNK, Heard("", GO_ON)] * 100)
    assert names(out[-1]) == ["StateDecision"] and state.turn_chunks == 100
    state, out = run([CHUNK, Heard("", GO_ON)] * 88, state=state)
    assert out[-1][-1] == DropTurn() and not state.listening  # an endless turn without words


def test_respond_answers_the_open_turn_whatever_was_heard():
    assert run([CHUNK, Heard("", GO_ON), Respond()])[1][2] == [TranscriptDelta("", final=True), AnswerTurn()]


def test_respond_with_nothing_heard_lets_the_model_speak_first():
    state, out = run([Respond()])
    assert out == [[AnswerText("")]] and state.answering and state.answers == 1
    assert run([Respond()], state=answering(played=100))[1][0][-1] == AnswerText(""), "and no other answer plays on"


def test_truncate_cuts_the_present_answer_and_one_that_is_over():
    assert run([Truncate(24000)], state=answering(played=48000))[1][0][:2] == [StopAudio(), StopAnswer(5)]
    over, _ = run([AnswerMade(False), Played(48000)], state=answering())
    assert run([Truncate(4800)], state=over)[1] == [[StopAnswer(1)]]
    assert run([Truncate(4800)])[1] == [[]]
    assert run([Truncate(4800, answer=1)], state=over)[1] == [[StopAnswer(1)]]
    assert run([Truncate(4800, answer=7)], state=over)[1] == [[]]


def test_an_exchange_from_before_is_kept_and_ends_what_speaks():
    assert run([Remember("Hi", "Hello.")])[1] == [[KeepTurn("Hi", "Hello.")]]
    state, out = run([Remember("Hi", "Hello."), Truncate(0)], state=answering(played=24000))
    assert names(out[0]) == ["StopAudio", "StopAnswer", "AnswerEnded", "KeepTurn"]
    assert out[1] == []  # the answer before is not the last exchange any more


def test_several_turns_with_answers():
    turn = [CHUNK, Heard("a", ANSWER), Wrote("b"), Spoke(np.ones(4), 0, 1, True), AnswerMade(False), Played(4)]
    state, out = run(turn * 3)
    assert [item for found in out for item in found].count(AnswerEnded("done")) == 3
    assert not state.answering and not state.listening


def test_clear_forgets_the_open_turn_and_what_was_kept():
    assert run([CHUNK, Clear()])[1][1] == [DropTurn()]
    config = TurnConfig(gated=True)
    assert run([CHUNK, Clear(), VadOpened()], config)[1][1:] == [[], [OpenTurn()]]


PATIENT = TurnConfig(interrupt=False, gated=True, pre_roll_chunks=2)


def spoken_over():
    """The user has said something to the end while an answer of two seconds is spoken on."""
    log = [VadOpened(), CHUNK, Heard("hi", ANSWER), Spoke(np.zeros(48000), 0, 10, True), AnswerMade(cut=False)]
    state, _ = run([*log, VadClosed()], PATIENT)
    assert state.answering and not state.listening
    state, out = run([VadOpened(), CHUNK, Heard("and", ANSWER), VadClosed()], PATIENT, state)
    assert names(out[0]) == ["OpenTurn"] and names(out[1]) == ["Listen"]
    assert out[2] == [TranscriptDelta("and"), StateDecision(1, ANSWER, 0.32)]  # and no StopAudio
    return state


def test_without_interruption_a_turn_is_kept_and_answered_after_the_answer():
    state, out = run([Played(24000), CHUNK, Played(48000)], PATIENT, spoken_over())
    assert out[:2] == [[], []]  # silence is not heard into the turn
    assert out[2] == [AnswerEnded("done"), TranscriptDelta("", final=True), AnswerTurn()]
    assert state.answering and not state.listening and not state.kept and state.answers == 2


def test_a_kept_turn_goes_on_when_the_user_speaks_again():
    log = [CHUNK, VadOpened(), CHUNK, Heard(" then", IGNORE), Played(48000), CHUNK, Heard("?", ANSWER)]
    state, out = run(log, PATIENT, spoken_over())
    assert [len(out[1]), names(out[1])] == [1, ["Listen"]]  # what was said before the gate opened
    assert out[3] == [TranscriptDelta(" then"), StateDecision(2, IGNORE, 0.64)]
    assert out[4] == [AnswerEnded("done")]  # the user still speaks
    assert out[6][-1] == AnswerTurn() and state.answering


def test_a_kept_turn_is_answered_when_the_answer_is_cancelled_and_dropped_when_cleared():
    _, out = run([Interrupt()], PATIENT, spoken_over())
    assert names(out[0]) == ["StopAudio", "StopAnswer", "AnswerEnded", "TranscriptDelta", "AnswerTurn"]
    state, out = run([Clear(), Played(48000)], PATIENT, spoken_over())
    assert out == [[DropTurn()], [AnswerEnded("done")]] and not state.answering


def test_a_client_that_asks_for_an_answer_does_not_wait():
    _, out = run([Respond()], PATIENT, spoken_over())
    assert "StopAnswer" in names(out[0]) and out[0][-1] == AnswerTurn()


BY_VAD = TurnConfig(detection=TurnDetection.VAD, pre_roll_chunks=2)
BY_HAND = TurnConfig(detection=TurnDetection.MANUAL, interrupt=False, gated=True)


@pytest.mark.parametrize(("words", "last"), [("yes", AnswerTurn), ("", DropTurn)])
def test_by_vad_the_gates_closing_ends_the_turn_and_the_state_head_does_not(words, last):
    log = [CHUNK, VadOpened(), CHUNK, Heard(words, ANSWER), CHUNK, Heard("", IGNORE), VadClosed(), CHUNK]
    state, out = run(log, BY_VAD)
    assert out[0] == [] and names(out[1]) == ["OpenTurn", "Listen"]
    assert out[3][-1] == StateDecision(0, ANSWER, 0.32) and out[5] == [StateDecision(0, IGNORE, 0.48)]
    assert names(out[6]) == ["TranscriptDelta", last.__name__] and out[7] == []
    assert not state.listening and state.answering == (last is AnswerTurn)


def test_by_vad_the_gates_opening_interrupts_at_once():
    _, out = run([VadOpened()], BY_VAD, replace(answering(played=24000), gate_open=False))
    assert out[0] == [StopAudio(), StopAnswer(5), AnswerEnded("interrupted"), OpenTurn()]


def test_by_vad_without_interruption_the_turn_is_answered_after_the_answer():
    config = replace(BY_VAD, interrupt=False)
    log = [VadOpened(), CHUNK, Heard("and", GO_ON), VadClosed(), AnswerMade(False), Played(48000)]
    state, out = run(log, config, replace(answering(), gate_open=False))
    assert names(out[0]) == ["OpenTurn"] and out[3] == []
    assert out[5] == [AnswerEnded("done"), TranscriptDelta("", final=True), AnswerTurn()] and state.answering


def test_by_hand_neither_state_head_nor_gate_ends_a_turn():
    log = [CHUNK, Heard("a", ANSWER), VadOpened(), CHUNK, Heard("b", IGNORE), VadClosed(), CHUNK, Heard("c", ANSWER)]
    state, out = run(log, BY_HAND)
    assert names(out[0]) == ["OpenTurn", "Listen"] and names(out[3]) == names(out[6]) == ["Listen"]
    assert out[2] == out[5] == [] and {item.state for found in out for item in found if hasattr(item, "state")} == {0}
    assert state.listening
    for end in (Respond(), Timeout()):
        assert run([end], BY_HAND, state)[1] == [[TranscriptDelta("", final=True), AnswerTurn()]]


def test_by_hand_a_turn_always_interrupts():
    _, out = run([CHUNK, Heard("stop", GO_ON), Timeout()], BY_HAND, answering(played=24000))
    assert "StopAnswer" in names(out[2]) and out[2][-1] == AnswerTurn()


EARLY = TurnConfig(early=0.15)
MAYBE = (0.6, 0.3, 0.1)  # state 1 is not decided, but likely enough to begin
SOUND = np.ones(600)


def drafting(*more, config=EARLY):
    """A state in which a draft has a word and a sound to say, and what came of the events since."""
    log = [CHUNK, Heard("hi", GO_ON, 2), CHUNK, Heard("", MAYBE), Wrote("Yes"), Spoke(SOUND, 0, 2, False)]
    state, out = run([*log, *more], config)
    assert out[3] == [StateDecision(0, MAYBE, 0.32), DraftAnswer()] and out[4] == out[5] == []
    return state, out[len(log) :]


def test_a_draft_is_held_back_and_said_with_the_decision():
    state, out = drafting(CHUNK, Heard("", ANSWER))
    decided = [StateDecision(1, ANSWER, 0.48), TranscriptDelta("", final=True)]
    assert out[1] == [*decided, AnswerTurn(), TextDelta("Yes"), PlayAudio(SOUND)], "with no second generation"
    assert state.answering and state.answers == 1 and not state.drafting and state.held == ()
    assert state.spoken == (Spoken(0, 2, 0, 600, False),)
    state, out = run([Wrote(", I do."), Spoke(SOUND, 0, 2, True), AnswerMade(False), Played(1200)], EARLY, state)
    assert out == [[TextDelta(", I do.")], [PlayAudio(SOUND)], [], [AnswerEnded("done")]]


def test_silence_leaves_a_draft_as_it_is_and_a_new_position_drops_it():
    state, out = drafting(CHUNK, Heard("", GO_ON), CHUNK, Heard("", MAYBE))
    assert [DraftAnswer(), DropDraft()] not in out and state.drafting and state.drafts == 1
    state, out = run([CHUNK, Heard(" and", GO_ON, 1), Wrote("late"), Spoke(SOUND, 2, 4, False)], EARLY, state)
    assert out[1][0] == DropDraft() and out[2] == out[3] == []
    assert not state.drafting and state.held == () and state.spoken == ()
    _, out = run([CHUNK, Heard("", ANSWER)], EARLY, state)
    assert out[1][-1] == AnswerTurn(), "nothing of the draft is said"


def test_a_position_in_the_chunk_that_decides_drops_the_draft():
    _, out = drafting(CHUNK, Heard(" you", ANSWER, 1))
    assert names(out[1]) == ["DropDraft", "TranscriptDelta", "StateDecision", "TranscriptDelta", "AnswerTurn"]


def test_a_new_position_that_looks_like_an_end_begins_anew():
    state, out = drafting(CHUNK, Heard(" you", MAYBE, 1))
    assert out[1][0] == DropDraft() and out[1][-1] == DraftAnswer() and state.held == ()


def test_a_turn_has_so_many_drafts_and_the_next_turn_as_many():
    log = [CHUNK, Heard("a", MAYBE, 1)] * (MOST_DRAFTS + 2)
    state, out = run(log, EARLY)
    assert [item for found in out for item in found].count(DraftAnswer()) == MOST_DRAFTS
    assert not state.drafting, "the last was dropped, and nothing follows it"
    assert DraftAnswer() in run([CHUNK, Heard("", IGNORE), CHUNK, Heard("b", MAYBE, 1)], EARLY, state)[1][3]


def test_state_2_drops_draft_and_turn():
    state, out = drafting(CHUNK, Heard("", IGNORE))
    assert out[1][-2:] == [DropDraft(), DropTurn()] and not state.drafting and not state.answering


@pytest.mark.parametrize(
    ("event", "work"),
    [
        (TextInput("what?"), [DropDraft(), DropTurn(), AnswerText("what?")]),
        (SystemPrompt("Be brief."), [DropDraft(), ReadSystem("Be brief.")]),
        (Remember("Hi", "Hello."), [DropDraft(), KeepTurn("Hi", "Hello.")]),
        (Clear(), [DropDraft(), DropTurn()]),
        (Interrupt(), []),
        (Played(9), []),
    ],
)
def test_what_changes_the_history_drops_a_draft(event, work):
    state, out = drafting(event)
    assert out == [work] and state.drafting == (not work) and bool(state.held) == (not work)


def test_a_late_truncation_of_the_answer_before_drops_a_draft():
    over, _ = run([AnswerMade(False), Played(48000)], EARLY, answering())
    log = [CHUNK, Heard("hi", MAYBE, 1), Wrote("Yes"), Truncate(4800)]
    state, out = run(log, EARLY, over)
    assert out[1][-1] == DraftAnswer() and out[3] == [DropDraft(), StopAnswer(1)] and not state.drafting


@pytest.mark.parametrize("end", [Timeout(), Respond()])
def test_what_else_ends_the_turn_says_the_draft(end):
    assert drafting(end)[1] == [[TranscriptDelta("", final=True), AnswerTurn(), TextDelta("Yes"), PlayAudio(SOUND)]]


def test_the_gates_closing_begins_an_answer_whatever_the_head_says():
    config = replace(EARLY, gated=True, silent_chunks=2)
    log = [VadOpened(), CHUNK, Heard("yes", GO_ON, 1), VadClosed(), CHUNK, Heard("", GO_ON), Wrote("No"), CHUNK]
    state, out = run(log, config)
    assert out[5][-1] == DraftAnswer()
    assert run([Heard("", GO_ON)], config, state)[1][0][-2:] == [AnswerTurn(), TextDelta("No")]


def test_no_answer_is_begun_early_where_none_would_be_given_or_one_is_spoken():
    maybe = [CHUNK, Heard("a", MAYBE, 1)]
    nothing_said = [CHUNK, Heard("", MAYBE, 1)]
    by_hand = replace(EARLY, detection=TurnDetection.MANUAL)
    cases = (
        (maybe, TurnConfig(), None),
        (nothing_said, EARLY, None),
        (maybe, EARLY, answering()),
        (maybe, by_hand, None),
    )
    for log, config, state in cases:
        assert DraftAnswer() not in run(log, config, state)[1][1]
    assert DraftAnswer() in run(nothing_said, replace(EARLY, transcribed=False))[1][1]


def test_by_vad_the_head_begins_and_the_gate_decides():
    config = replace(BY_VAD, early=0.15)
    log = [VadOpened(), CHUNK, Heard("yes", GO_ON, 1), CHUNK, Heard("", ANSWER), Wrote("No"), VadClosed()]
    _, out = run(log, config)
    assert out[4][-1] == DraftAnswer() and out[6][-2:] == [AnswerTurn(), TextDelta("No")]


def test_an_interruption_of_an_answer_that_was_begun_early_keeps_what_was_played():
    state, _ = drafting(CHUNK, Heard("", ANSWER), Spoke(np.zeros(47400), 0, 10, True), Played(24000))
    _, out = run([CHUNK, Heard("stop", ANSWER, 1)], EARLY, state)
    assert out[1][-4:] == [StopAudio(), StopAnswer(5), AnswerEnded("interrupted"), AnswerTurn()]


def test_a_draft_is_dropped_once():
    state, _ = drafting()
    state, dropped = drop_draft(state)
    assert dropped == [DropDraft()] and drop_draft(state) == (state, [])


WAIT = (0.1, 0.1, 0.1, 0.7)


def test_a_request_to_wait_stops_the_answer_and_keeps_the_turn_open():
    state, out = run([CHUNK, Heard("hold on", WAIT), CHUNK, Heard("", WAIT)], state=answering(played=24000))
    assert names(out[1]) == ["TranscriptDelta", "StateDecision", "StopAudio", "StopAnswer", "AnswerEnded"]
    assert names(out[3]) == ["StateDecision"] and out[3][0].state == 3
    assert state.listening and not state.answering
    _, out = run([CHUNK, Heard("a question", (0.1, 0.7, 0.1, 0.1))], state=state)
    assert "AnswerTurn" in names(out[1])


@pytest.mark.parametrize("transcribed", [True, False])
def test_silence_does_not_end_a_turn_in_which_the_system_waits(transcribed):
    config = TurnConfig(gated=True, silent_chunks=2, transcribed=transcribed, early=0.1)
    quiet = [CHUNK, Heard("", (0.3, 0.3, 0.1, 0.3) if transcribed else WAIT)]
    state, out = run([VadOpened(), CHUNK, Heard("hold on", WAIT), VadClosed(), *quiet * 5], config)
    assert state.listening and state.waiting
    assert not {"AnswerTurn", "DropTurn", "DraftAnswer"} & {name for found in out for name in names(found)}
    on = [
        VadOpened(),
        CHUNK,
        Heard("so", (0.9, 0.05, 0.05, 0.0)),
        VadClosed(),
        *[CHUNK, Heard("", (0.9, 0.0, 0.1, 0.0))] * 2,
    ]
    state, out = run(on, config, state)
    assert "AnswerTurn" in names(out[-1])  # the user has gone on: now silence ends the turn


def test_a_system_that_waits_for_long_drops_the_turn():
    config = TurnConfig(max_turn_chunks=3)
    state, out = run([CHUNK, Heard("hold on", WAIT), *[CHUNK, Heard("", WAIT)] * 2], config)
    assert not state.listening and "DropTurn" in names(out[-1]) and "AnswerTurn" not in names(out[-1])


def test_a_request_to_wait_drops_the_draft_and_leaves_an_answer_that_is_not_to_be_interrupted():
    config = TurnConfig(early=0.15)
    _, out = run([CHUNK, Heard("who", (0.6, 0.3, 0.1, 0.0)), CHUNK, Heard("", WAIT)], config)
    assert "DraftAnswer" in names(out[1]) and "DropDraft" in names(out[3])
    state, out = run([CHUNK, Heard("hold on", WAIT)], TurnConfig(interrupt=False), answering())
    assert state.answering and "StopAudio" not in names(out[1])
