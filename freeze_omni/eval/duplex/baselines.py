"""Baselines of turn taking: the same session, whose turns end by a detector of speech, or by smart-turn after it."""

from collections.abc import Callable

import numpy as np

from freeze_omni.eval.quality import weights_folder
from freeze_omni.frontend.smart_turn import RATE_HZ, WINDOW_S, SmartTurn
from freeze_omni.frontend.vad import Detector, EnergyDetector, GateConfig
from freeze_omni.session import events as ev
from freeze_omni.session.gate import VoiceGate
from freeze_omni.session.ops import Job
from freeze_omni.session.session import SpeechSession

SILERO = ("silero_vad", "FREEZE_OMNI_VAD_DIR", "silero_vad_16k.safetensors")
SMART_TURN = ("smart_turn", "FREEZE_OMNI_SMART_TURN_DIR", "smart-turn-v3.2-cpu.onnx")

# as pipecat uses it: it is asked after this silence; this long one ends a turn, whatever it says; sound before speech
ASK_MS, LONGEST_MS, BEFORE_MS = 200, 3000, 500
OVER = 0.5

Baseline = Callable[[SpeechSession], "ByVad"]


def best_detector() -> tuple[str, Detector]:
    """Silero's if its weights are here (tools/installers/get_silero_vad.sh), else by energy; and its name."""
    folder = weights_folder(SILERO)
    if folder is None:
        return "energy", EnergyDetector()
    from freeze_omni.frontend.silero import SileroDetector

    return "Silero", SileroDetector.load(folder / SILERO[2])


def baseline(name: str) -> tuple[str, Baseline] | None:
    """What it is made of, and how a session becomes it; None: its weights are not here. name: of BASELINES."""
    detected_by, detector = best_detector()
    if name == "vad":
        return detected_by, lambda session: ByVad(session, detector, session.config.silence_ms)
    folder = weights_folder(SMART_TURN)
    if folder is None:
        return None
    model = SmartTurn(folder / SMART_TURN[2])
    return f"smart-turn, {detected_by}", lambda session: BySmartTurn(session, detector, model.over)


class ByVad:
    """A session with `turn_detection: vad` behind its own gate, as the server has one."""

    def __init__(self, session: SpeechSession, detector: Detector, close_ms: int) -> None:
        self.session = session
        self._gate = VoiceGate(detector, GateConfig(close_ms=close_ms))

    @property
    def answering(self) -> object | None:
        return self.session.answering

    @property
    def may_work(self) -> bool:
        return self.session.may_work

    def pushing(self, samples: np.ndarray, played: np.ndarray | None = None) -> Job[list[ev.Action]]:
        """Hear samples (S,), each chunk after what the gate says of it; what was played meanwhile changes nothing."""
        actions: list[ev.Action] = []
        for chunk in self.session.chunks(samples):
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


class BySmartTurn(ByVad):
    """A short silence ends a turn if `over`, the probability by its sound (S,), says so; else a long one does."""

    def __init__(self, session: SpeechSession, detector: Detector, over: Callable[[np.ndarray], float]) -> None:
        super().__init__(session, detector, ASK_MS)
        self._over = over
        self._turn = np.zeros(0, np.float32)
        self._silent_ms: float | None = None  # since a silence that did not end the turn

    def gated(self, chunk: ev.AudioChunk) -> ev.VadOpened | ev.VadClosed | None:
        event, samples = super().gated(chunk), chunk.samples
        self._turn = np.concatenate([self._turn, samples])[-WINDOW_S * RATE_HZ :]
        if isinstance(event, ev.VadOpened):
            goes_on, self._silent_ms = self._silent_ms is not None, None
            if goes_on:
                return None
            self._turn = self._turn[-(BEFORE_MS * RATE_HZ // 1000 + len(samples)) :]
        elif isinstance(event, ev.VadClosed) and self._over(self._turn) <= OVER:
            self._silent_ms = float(ASK_MS)
            return None
        elif event is None and self._silent_ms is not None:
            self._silent_ms += 1000 * len(samples) / RATE_HZ
            if self._silent_ms >= LONGEST_MS:
                self._silent_ms = None
                return ev.VadClosed()
        return event
