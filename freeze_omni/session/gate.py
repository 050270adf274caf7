"""The voice activity gate in front of one session: which event comes before a chunk of audio."""

import torch

from freeze_omni.frontend.vad import Detector, Gate, GateConfig
from freeze_omni.session import events as ev


class VoiceGate:
    """Hears every chunk before the session does. It begins closed."""

    def __init__(self, detector: Detector, config: GateConfig) -> None:
        self._gate = Gate(detector, config)
        self._state = self._gate.initial_state(1)

    def configure(self, config: GateConfig) -> None:
        """Open and close by another configuration from now on."""
        self._gate = Gate(self._gate.detector, config)

    def __call__(self, chunk: ev.AudioChunk) -> ev.VadOpened | ev.VadClosed | None:
        """What the session is told before the chunk; None without a change."""
        was_open = bool(self._state["open"])
        _, self._state = self._gate.step(torch.from_numpy(chunk.samples)[None], self._state)
        is_open = bool(self._state["open"])
        if is_open == was_open:
            return None
        return ev.VadOpened() if is_open else ev.VadClosed()
