"""A session behind a gate of its own, as the server has one."""

import numpy as np

from freeze_omni.engine.config import ServingConfig
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


class GatedSession:
    """What plays a scene asks of a session, each chunk after what the gate says of it."""

    def __init__(self, session: SpeechSession, detector: Detector, config: GateConfig | None = None) -> None:
        """session: with `gated` or turns by VAD. config: None for the engine's."""
        self.session = session
        self._gate = VoiceGate(detector, config or ServingConfig().gate)

    @property
    def answering(self) -> object | None:
        return self.session.answering

    @property
    def may_work(self) -> bool:
        return self.session.may_work

    def pushing(self, samples: np.ndarray, played: np.ndarray | None = None) -> Job[list[ev.Action]]:
        """Hear samples (S,), and what was played meanwhile."""
        actions: list[ev.Action] = []
        for chunk in self.session.chunks(samples, played):
            if (change := self.gated(chunk)) is not None:
                actions += yield from self.session.handling(change)
            actions += yield from self.session.handling(chunk)
        return actions

    def gated(self, chunk: ev.AudioChunk) -> ev.VadOpened | ev.VadClosed | None:
        """What the session is told before the chunk."""
        return self._gate(chunk)

    def handling(self, event: ev.Event) -> Job[list[ev.Action]]:
        return self.session.handling(event)

    def working(self) -> Job[list[ev.Action]]:
        return self.session.working()
