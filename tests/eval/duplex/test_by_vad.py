"""The baseline: what its gate tells the session, and when."""

from __future__ import annotations

import pytest

from freeze_omni.eval.duplex import by_vad
from freeze_omni.eval.duplex.by_vad import ByVad, best_detector
from freeze_omni.frontend.vad import EnergyDetector
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
    told = drive(None, ByVad(session, EnergyDetector()).pushing(spoken(3.2, (0.64, 1.28))))
    gate = [type(one) for one in told if not isinstance(one, ev.AudioChunk)]
    assert gate == [ev.VadOpened, ev.VadClosed]
    assert session.told.index("VadOpened") == 4, "before the first chunk that is loud"
    closed = session.told.index("VadClosed") - 1  # whole chunks before the one in which it closed
    assert closed * 160 + 160 == pytest.approx(1280 + silence_ms, abs=160)


def test_sileros_weights_are_used_where_they_are(monkeypatch):
    monkeypatch.setattr(by_vad, "weights_folder", lambda part: None)
    assert best_detector()[0] == "energy"
