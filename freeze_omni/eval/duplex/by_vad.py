"""The baseline of turn taking: the same session, whose turns end when a voice activity detector hears silence."""

import numpy as np

from freeze_omni.eval.quality import weights_folder
from freeze_omni.frontend.vad import Detector, EnergyDetector, GateConfig
from freeze_omni.session import events as ev
from freeze_omni.session.gate import VoiceGate
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
        self._gate = VoiceGate(detector, GateConfig(close_ms=session.config.silence_ms))

    @property
    def answering(self) -> object | None:
        return self.session.answering

    @property
    def may_work(self) -> bool:
        return self.session.may_work

    def pushing(self, samples: np.ndarray) -> Job[list[ev.Action]]:
        """Hear samples (S,), each chunk after what the gate says of it."""
        actions: list[ev.Action] = []
        for chunk in self.session.chunks(samples):
            if (change := self._gate(chunk)) is not None:
                actions += yield from self.session.handling(change)
            actions += yield from self.session.handling(chunk)
        return actions

    def handling(self, event: ev.Event) -> Job[list[ev.Action]]:
        return self.session.handling(event)

    def working(self) -> Job[list[ev.Action]]:
        return self.session.working()
