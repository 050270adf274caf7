"""A loudspeaker that waits where it is told."""

from __future__ import annotations

import numpy as np

from freeze_omni.client.terminal import Speaker


def filled(speaker: Speaker, frames: int) -> list[float]:
    out = np.ones((frames, 1), dtype=np.float32)
    speaker.fill(out)
    return out[:, 0].tolist()


def test_what_waits_is_played_after_a_pause_and_dropped_by_a_stop() -> None:
    speaker = Speaker()
    speaker(np.full(3, 0.5, np.float32))
    assert filled(speaker, 2) == [0.5, 0.5]
    speaker.hold(True)
    speaker(np.full(1, 0.25, np.float32))
    assert filled(speaker, 2) == [0.0, 0.0]
    speaker.hold(False)
    assert filled(speaker, 3) == [0.5, 0.25, 0.0]
    speaker(np.full(3, 0.5, np.float32))
    speaker(None)
    assert filled(speaker, 2) == [0.0, 0.0]
