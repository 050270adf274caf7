"""The baseline: what its gate tells the session, and when."""

from __future__ import annotations

import pytest

from freeze_omni.eval.duplex import baselines, gated
from freeze_omni.eval.duplex.baselines import BySmartTurn, baseline
from freeze_omni.eval.duplex.gated import GatedSession, best_detector
from freeze_omni.frontend.vad import EnergyDetector, GateConfig
from freeze_omni.session import events as ev
from freeze_omni.session.ops import drive
from freeze_omni.session.session import Chunker, SessionConfig
from tests.eval.duplex.rig import RATES, spoken


class Listens:
    """A session that writes down what it is told."""

    def __init__(self, silence_ms: int) -> None:
        self.config, self.answering = SessionConfig(silence_ms=silence_ms), None
        self.chunks = Chunker(RATES.chunk_samples)
        self.told: list[str] = []

    def handling(self, event):
        yield from ()
        self.told.append(type(event).__name__)
        return [event]


@pytest.mark.parametrize("silence_ms", [320, 640])
def test_a_turn_ends_after_the_silence_that_was_chosen(silence_ms):
    session = Listens(silence_ms)
    behind = GatedSession(session, EnergyDetector(), GateConfig(close_ms=silence_ms))
    told = drive(None, behind.pushing(spoken(3.2, (0.64, 1.28))))
    gate = [type(one) for one in told if not isinstance(one, ev.AudioChunk)]
    assert gate == [ev.VadOpened, ev.VadClosed]
    assert session.told.index("VadOpened") == 4, "before the first chunk that is loud"
    closed = session.told.index("VadClosed") - 1  # whole chunks before the one in which it closed
    assert closed * 160 + 160 == pytest.approx(1280 + silence_ms, abs=160)


def test_sileros_weights_are_used_where_they_are(monkeypatch):
    for module in (baselines, gated):
        monkeypatch.setattr(module, "weights_folder", lambda part: None)
    assert best_detector()[0] == "energy"
    assert baseline("vad")[0] == "energy" and baseline("smart_turn") is None


@pytest.mark.parametrize(
    ("answers", "ends_s"),
    [([0.9], 1.28 + 0.2), ([0.2], 1.28 + 3.0), ([0.2, 0.9], 2.56 + 0.2)],
    ids=["over", "a long silence", "a pause inside"],
)
def test_smart_turn_ends_a_turn_or_waits(answers, ends_s):
    session, asked = Listens(500), []

    def over(wav):
        asked.append(len(wav))
        return answers[len(asked) - 1]

    spans = [(0.64, 1.28), (1.92, 2.56)][: len(answers)]
    drive(None, BySmartTurn(session, EnergyDetector(), over).pushing(spoken(6.4, *spans)))
    gate = [one for one in session.told if one != "AudioChunk"]
    assert gate == ["VadOpened", "VadClosed"] and len(asked) == len(answers)
    closed_s = (session.told.index("VadClosed") - 1) * 0.16 + 0.16
    assert closed_s == pytest.approx(ends_s, abs=0.4), "to a chunk, and to the gate's windows"
    assert asked[0] < 2 * 16000, "it hears the turn, not the silence before"
