"""An answer that pauses while somebody speaks: scripted events, and what must come of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from freeze_omni.session import events as ev
from freeze_omni.session.reducer import TurnConfig, TurnDetection, initial_turns, step

RULES = TurnConfig(gated=True, pauses=True)
CHUNK = ev.AudioChunk(np.zeros(2560, dtype=np.float32))
GO_ON, ANSWER, IGNORE = (0.9, 0.05, 0.05), (0.2, 0.7, 0.1), (0.1, 0.2, 0.7)


def run(log, state, rules=RULES):
    """The final state, and all that came of the events."""
    out = []
    for event in log:
        state, found = step(rules, event, state)
        out += found
    return state, out


def sounding(chunks=5, rules=RULES):
    """A state in an answer that has sounded for some chunks, after the gate has closed."""
    log = [ev.VadOpened(), CHUNK, ev.Heard("hi", ANSWER), ev.VadClosed(), ev.Spoke(np.zeros(48000), 0, 10, True)]
    return run([*log, *[CHUNK] * chunks], initial_turns(rules), rules)[0]


def voice(*probabilities, echo=0.0, words=""):
    """The gate opens, and chunks are heard."""
    heard = [ev.Heard(words, one, echo=echo) for one in probabilities]
    return [ev.VadOpened(), *[event for one in heard for event in (CHUNK, one)]]


def test_it_falls_silent_and_stops_if_the_user_wants_to_be_answered():
    state, out = run(voice(GO_ON), sounding())
    assert out[-1] == ev.PauseAudio() and state.paused and state.answering
    state, out = run([CHUNK, ev.Heard("stop", GO_ON), CHUNK, ev.Heard("", ANSWER)], state)
    assert out.count(ev.PauseAudio()) == 0 and ev.StopAudio() in out and ev.ResumeAudio() not in out
    assert not state.paused


@pytest.mark.parametrize(
    "rest",
    [
        [CHUNK, ev.Heard("uh", IGNORE)],  # not for the system
        [ev.VadClosed()],  # no words at all
        [ev.Clear()],
    ],
)
def test_it_goes_on_if_it_was_not_meant_for_it(rest):
    paused = run(voice(GO_ON), sounding())[0]
    state, out = run(rest, paused)
    assert out.count(ev.ResumeAudio()) == 1 and ev.StopAudio() not in out
    assert state.answering and not state.paused
    assert ev.PauseAudio() not in run([CHUNK, ev.Heard("", GO_ON)] * 6, state)[1], "once each time that the gate opens"
    assert ev.PauseAudio() in run([ev.VadClosed(), *voice(*[GO_ON] * 6)], state)[1]


def test_with_words_it_waits_until_the_turn_is_over():
    paused = run(voice(GO_ON, words="the capital"), sounding())[0]
    state, out = run([ev.VadClosed()], paused)
    assert out == [] and state.paused
    silent = [CHUNK, ev.Heard("", GO_ON)] * RULES.silent_chunks
    assert ev.StopAudio() in run(silent, state)[1]


def test_a_model_without_a_transcript_waits_for_the_decision():
    rules = replace(RULES, transcribed=False)
    paused = run(voice(GO_ON), sounding(rules=rules), rules)[0]
    assert run([ev.VadClosed()], paused, rules)[1] == []


def test_its_own_echo_does_not_make_it_pause_nor_what_cannot_be_told_from_it_yet():
    assert ev.PauseAudio() not in run(voice(GO_ON, echo=0.7), sounding())[1]
    state, out = run(voice(GO_ON), sounding(chunks=2))
    assert ev.PauseAudio() not in out
    assert ev.PauseAudio() in run([CHUNK, ev.Heard("", GO_ON)] * 2, state)[1], "the voice goes on"


def test_the_end_of_the_question_that_it_answers_is_no_voice_over_the_answer():
    log = [ev.VadOpened(), CHUNK, ev.Heard("hi", ANSWER), ev.Spoke(np.zeros(48000), 0, 10, True)]
    state = run(log, initial_turns(RULES))[0]
    assert ev.PauseAudio() not in run([CHUNK, ev.Heard("", GO_ON)] * 8, state)[1]


@pytest.mark.parametrize("changed", [{"pauses": False}, {"interrupt": False}, {"detection": TurnDetection.MANUAL}])
def test_others_do_not_pause(changed):
    out = run(voice(*[GO_ON] * 8), sounding(), replace(RULES, **changed))[1]
    assert ev.PauseAudio() not in out


def test_what_was_heard_before_the_pause_is_what_the_history_keeps():
    state = run([*voice(GO_ON), ev.Played(24000)], sounding())[0]
    assert ev.StopAnswer(5) in run([ev.Interrupt()], state)[1]
