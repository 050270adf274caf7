"""Sessions side by side on a packed model whose LLM has something learned beside it: each gets what it gets alone."""

from __future__ import annotations

import numpy as np
import pytest

from freeze_omni import pack
from freeze_omni.session import events as ev
from freeze_omni.session.reducer import TurnDetection
from freeze_omni.session.session import SpeechSession
from tests.engine.rig import Rig, speech
from tests.toy import TUNINGS, toy_system

QUESTIONS = {"early": "Hello, my name is Anna.", "late": "What does a cow say?"}


@pytest.fixture(scope="module", params=TUNINGS)
def model(request, tmp_path_factory):
    """As a server reads it: packed, and loaded again."""
    folder = tmp_path_factory.mktemp(request.param)
    return pack.load(pack.save(toy_system(folder / "llm", llm_tuning=TUNINGS[request.param]), folder / "pack"))


def until_answered(rig, key):
    """Work until something of the next answer of a session is written."""
    before = rig.text(key)
    while rig.text(key) == before:
        assert rig.scheduler.tick(), "there is no answer"


def talk(model, keys):
    """A turn by text and one by voice of each session, which begins amid the answer of the session before it."""
    rig = Rig(model)
    for key in keys:
        rig.open(key, turn_detection=TurnDetection.MANUAL, seed=len(key))
    for spoken in (False, True):
        for key in keys:
            asked = [speech(len(key), 0.4), ev.Respond()] if spoken else [ev.TextInput(QUESTIONS[key])]
            for item in asked:
                rig.put(key, item)
            until_answered(rig, key)
        rig.run()
        rig.now_s += 60  # all of it was heard
        rig.run()
    assert not rig.failed
    return rig


def test_sessions_out_of_step_get_what_each_gets_alone(model):
    together = talk(model, QUESTIONS)
    assert max(together.seen["batch_rows"]) == 2
    for key in QUESTIONS:
        alone = talk(model, [key])
        assert max(alone.seen["batch_rows"]) == 1
        assert together.kinds(key) == alone.kinds(key)
        assert together.kinds(key).count("AnswerEnded") == 2
        assert together.text(key) == alone.text(key)
        np.testing.assert_allclose(together.audio(key), alone.audio(key), atol=1e-4)


def test_the_tuned_llm_is_the_one_that_is_served(model, monkeypatch):
    """Its words are those of a session without a server, and not those of the LLM as it was."""

    def served():
        rig = Rig(model)
        rig.open("only", speech=False)
        rig.put("only", ev.TextInput(QUESTIONS["late"]))
        rig.run()
        return rig.text("only")

    session = SpeechSession(model)
    session.handle(ev.TextInput(QUESTIONS["late"]))
    tuned = "".join(action.text for action in session.answer() if isinstance(action, ev.TextDelta))
    assert served() == tuned
    monkeypatch.setattr(model, "llm", model.llm.plain)
    assert served() != tuned
