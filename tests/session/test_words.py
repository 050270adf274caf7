"""A model that hears words: a session tells them, the LLM reads them, and a packed folder has them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from freeze_omni.adapter.choice import AdapterChoice
from freeze_omni.adapter.words import WordAdapterConfig
from freeze_omni.encoder.lexicon import WordCounts
from freeze_omni.eval.batch import closed_turns
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.units import CtcUnits
from freeze_omni.pack import load, save
from freeze_omni.session import events as ev
from freeze_omni.session.reducer import TurnDetection
from freeze_omni.session.session import SessionConfig, SpeechSession
from freeze_omni.system import FreezeOmni
from tests.toy import toy_config, toy_llm

COUNTS = WordCounts({"the": 0.2, "cat": 0.1, "sat": 0.1, "on": 0.1}, {("the", "cat"): 0.3})
SPELLED = "the c-at sa-t---"


class Spells(torch.nn.Linear):
    """A CTC head that hears the same in all speech, a letter a frame, and then nothing."""

    def __init__(self, units: CtcUnits, size: int) -> None:
        super().__init__(size, len(units))
        names = ["<blank>" if one == "-" else "<space>" if one == " " else one for one in SPELLED]
        self.path, self.heard = [units.tokens.index(name) for name in names], 0

    def forward(self, frames):
        labels = [*self.path, *[0] * 1000][self.heard : self.heard + frames.shape[1]]
        self.heard += frames.shape[1]
        return 30.0 * torch.nn.functional.one_hot(torch.tensor([labels]), self.out_features).float()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    llm = FrozenLLM.load(toy_llm(tmp_path_factory.mktemp("toy") / "llm"))
    units = CtcUnits.from_words(COUNTS)
    config = toy_config(llm.hidden_size, len(units), adapter=AdapterChoice(words=WordAdapterConfig()))
    model = FreezeOmni(config, llm, units)
    model.set_voice(0.1 * torch.randn(24000))
    return model


def test_a_session_hears_words_and_the_llm_reads_them(model, monkeypatch):
    spells = Spells(model.units, model.ctc.output.in_features)
    monkeypatch.setattr(model.ctc.output, "forward", spells.forward)
    session = SpeechSession(model, SessionConfig(turn_detection=TurnDetection.MANUAL))
    done = session.push(0.1 * np.random.default_rng(0).standard_normal(4 * 2560))
    assert [one.text for one in done if isinstance(one, ev.TranscriptDelta)] == ["The", " cat"]
    done = session.handle(ev.Respond())
    said = [one for one in done if isinstance(one, ev.TranscriptDelta)]
    assert "".join(one.text for one in said) == " sat", "the last word comes with the end of the turn"
    assert any(isinstance(one, ev.TextDelta) for one in session.answer())


def test_a_turn_of_words_ends_in_the_mark_that_the_llm_expects(model, monkeypatch):
    spells = Spells(model.units, model.ctc.output.in_features)
    monkeypatch.setattr(model.ctc.output, "forward", spells.forward)
    session = SpeechSession(model, SessionConfig(turn_detection=TurnDetection.MANUAL))
    session._keeps_text = True
    session.push(0.1 * np.random.default_rng(0).standard_normal(4 * 2560))
    before = session.turn.cache.length
    session.handle(ev.Respond())
    ends = {mark: model.llm.embed(torch.tensor(model.turn_end(mark))) for mark in (".", "?")}
    turn = session.history.turns[-1]
    found = [mark for mark, end in ends.items() if torch.equal(turn[-len(end) :], end)]
    assert len(found) == 1 and session.history.cache.length > before
    assert session._spoken_text == f"The cat sat{found[0]}"
    row = torch.cat([model.llm.embed(torch.tensor(model.llm.order.before_turn(model.system_prompt))), turn])
    body = row[: -len(ends["."])]
    last = model.llm(body[None])[0][0, -1]
    closed, silent = closed_turns(model, [body, body], [last, None])
    assert torch.equal(closed, row), "evaluation closes turns as a session does"
    assert len(silent) < len(row), "no mark where nothing was said"


def test_the_likelier_mark_is_chosen(model, monkeypatch):
    scores = torch.zeros(model.llm.vocab_size)
    monkeypatch.setattr(model.llm, "logits", lambda hidden, ids: scores.expand(len(hidden), -1)[:, ids])
    for mark, ids in model.llm.order.marks.items():
        scores[ids[0]] = scores.max() + 1
        assert model.turn_marks(torch.zeros(2, model.llm.hidden_size)) == [mark, mark]
        assert model.turn_end(mark) == [*ids, *model.llm.order.suffix()]
    assert model.turn_end("") == model.llm.order.suffix()


def test_a_packed_model_has_its_words(model, tmp_path):
    save(model, tmp_path / "pack")
    again = load(tmp_path / "pack")
    assert again.units.search(again.config.search).lexicon.words == ["the", "cat", "sat", "on"]
    wav, lengths = 0.1 * torch.randn(1, 16000), torch.tensor([16000])
    out, same = model.listening(wav, lengths), again.listening(wav, lengths)
    torch.testing.assert_close(out.adapted.embeds, same.adapted.embeds)
