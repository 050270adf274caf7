"""The baseline of turn taking: the same session, whose turns end when a voice activity detector hears silence."""

import numpy as np
import torch

from freeze_omni.eval.quality import weights_folder
from freeze_omni.frontend.vad import Detector, EnergyDetector, Gate, GateConfig
from freeze_omni.session import events as ev
from freeze_omni.session.ops import Job
from freeze_omni.session.session import SpeechSession

SILERO = ("silero_vad", "FREEZE_OMNI_VAD_DIR", "silero_vad_16k.safetensors")


def best_detector() -> tuple[str, Detector]:
    """Silero's if its weights are here (tools/installers/get_silero_vad.sh), else by energy; and its name."""
    folder = weights_folder(SILERO)
    if folder is None:
        return "energy", EnergyDetector()
    from freeze_omni.frontend.silero import SileroDetector

    return "Silero", SileroDetector.load(folder / SILERO[2])


class ByVad:
    """A session with `turn_detection: vad` behind its own gate, as the server has one."""

    def __init__(self, session: SpeechSession, detector: Detector) -> None:
        self.session = session
        self._gate = Gate(detector, GateConfig(close_ms=session.config.silence_ms))
        self._state = self._gate.initial_state(1)

    @property
    def answering(self) -> object | None:
        return self.session.answering

    def pushing(self, samples: np.ndarray) -> Job[list[ev.Action]]:
        """Hear samples (S,), each chunk after what the gate says of it."""
        actions: list[ev.Action] = []
        for chunk in self.session.chunks(samples):
            was_open = bool(self._state["open"])
            _, self._state = self._gate.step(torch.from_numpy(chunk.samples)[None], self._state)
            if bool(self._state["open"]) != was_open:
                actions += yield from self.session.handling(ev.VadClosed() if was_open else ev.VadOpened())
            actions += yield from self.session.handling(chunk)
        return actions

    def handling(self, event: ev.Event) -> Job[list[ev.Action]]:
        return self.session.handling(event)

    def working(self) -> Job[list[ev.Action]]:
        return self.session.working()
