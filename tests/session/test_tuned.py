"""A session whose LLM has something learned beside it: the prefix stands in front of all that is remembered."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.session import events as ev
from freeze_omni.session.history import starting
from freeze_omni.session.ops import drive
from freeze_omni.session.session import SpeechSession
from tests.toy import TUNINGS, toy_system


@pytest.mark.parametrize("name", TUNINGS)
def test_what_is_remembered_can_be_read_again_from_nothing(name, tmp_path):
    model = toy_system(tmp_path / "llm", llm_tuning=TUNINGS[name])
    session = SpeechSession(model)
    for text in ("Hello, my name is Anna.", "What does a cow say?"):
        session.handle(ev.TextInput(text))
        list(session.answer())
    history = session.history
    again = drive(model, starting(model, history.system, history.turns))
    opening = model.llm.chat.system(history.system) + model.llm.chat.user_prefix()
    between = model.llm.chat.user_prefix(first=False)
    read = len(opening) + len(between) + sum(map(len, history.turns))
    assert again.cache.length == history.cache.length == model.llm.own_positions + read
    probe = torch.randn(1, 2, model.llm.hidden_size)
    one, other = (model.llm(probe, cache=found.cache.fork())[0] for found in (again, history))
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)
    first, later = (model.llm.embed(torch.tensor(ids)) for ids in (opening, between))
    whole = torch.cat([first, history.turns[0], later, history.turns[1], probe[0]])
    with torch.no_grad():
        torch.testing.assert_close(model.llm(whole[None])[0][:, -2:], one, atol=1e-4, rtol=1e-3)
