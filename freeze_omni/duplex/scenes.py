"""Duplex scenes: recordings on a known time line, with pauses, break-offs, noise, side talk and echoes."""

from dataclasses import dataclass, replace

import numpy as np

from freeze_omni.data.audio import Wav
from freeze_omni.data.augment import coloured_noise, reverberate, room_response
from freeze_omni.duplex.labels import LabelConfig, Segment, chunk_labels, needed_s
from freeze_omni.rates import Rates

KINDS = ("complete", "paused", "cutoff", "backchannel", "noise", "side", "echo", "wait")
NAMED = ("backchannel", "side", "wait")  # utterances of these kinds begin with them: side-0003
FILLER = "filler"  # and those that are said in pauses
_FADE_S = 0.01
_DIP_S = 0.03


@dataclass(frozen=True)
class SceneConfig:
    """Times in s, levels in dB, all ranges (least, most)."""

    lead_s: tuple[float, float] = (0.2, 0.6)
    trail_s: tuple[float, float] = (0.5, 1.2)
    pause_s: tuple[float, float] = (0.4, 1.2)
    before_filler_s: tuple[float, float] = (0.05, 0.6)
    floor_db: tuple[float, float] = (-66.0, -50.0)
    noise_s: tuple[float, float] = (0.2, 1.5)
    noise_db: tuple[float, float] = (-36.0, -18.0)
    side_db: tuple[float, float] = (-18.0, 0.0)  # side talk, relative to its recording
    side_rt60_s: tuple[float, float] = (0.3, 0.7)
    echo_db: tuple[float, float] = (-30.0, -12.0)  # what comes back of the system's voice
    echo_rt60_s: tuple[float, float] = (0.1, 0.4)
    echo_s: tuple[float, float] = (0.5, 3.0)
    echo_delay_s: tuple[float, float] = (0.04, 0.2)  # from the loudspeaker to what is heard
    own_echo: float = 0.5  # share of scenes in which the system speaks where that comes back
    decision_delay_s: float = 0.24


@dataclass(frozen=True)
class Scene:
    """wav (S,) at the input rate, a whole number of chunks; its segments and pauses in s; one label for each chunk.
    played (S,): what the system plays meanwhile, if anything."""

    kind: str
    wav: Wav
    segments: tuple[Segment, ...]
    pauses: tuple[tuple[float, float], ...]
    labels: tuple[int, ...]
    played: Wav | None = None


class SceneMaker:
    """Composes scenes; the same rng state and recordings give the same scene."""

    def __init__(self, config: SceneConfig, rates: Rates | None = None) -> None:
        self.config, self.rates = config, rates or Rates()
        self.hz = self.rates.input_hz

    def make(
        self,
        kind: str,
        speech: Wav,
        rng: np.random.Generator,
        babble: Wav | None = None,
        own: Wav | None = None,
        filler: Wav | None = None,
    ) -> Scene:
        """A scene around a recording (S,); babble: other voices in some noises; own: what the system says meanwhile,
        which may come back; filler: what the user says in the pause of a paused turn, or last in one that breaks off.
        Of an `echo` the recording is what the system says. Raises ValueError: unknown kind."""
        if kind not in KINDS:
            raise ValueError(f"scene kind '{kind}' is none of {', '.join(KINDS)}")
        pauses: list[tuple[float, float]] = []
        played: Wav | None = None
        if kind == "paused":
            speech, pauses = self._with_pause(speech, rng, filler)
        elif kind == "cutoff":
            speech = self._cut(speech, rng)[0]
            if filler is not None:
                speech = np.concatenate([speech, self._silence(self.config.before_filler_s, rng), filler])
        elif kind == "noise":
            speech = self._noise(rng, babble)
        elif kind == "side":
            speech = self._in_room(speech, self.config.side_rt60_s, self.config.side_db, rng)
        elif kind == "echo":
            played, speech = self._echo(speech, rng)
        scene = self._place(kind, speech, pauses, rng)
        if played is not None:
            start_s = scene.segments[0].start_s - rng.uniform(*self.config.echo_delay_s)
            return replace(scene, played=_at(played, max(round(start_s * self.hz), 0), len(scene.wav)))
        return scene if own is None else self._over(scene, own, rng)

    def _over(self, scene: Scene, own: Wav, rng: np.random.Generator) -> Scene:
        """The scene while the system speaks, from before it on; out of a loudspeaker its voice is heard, too."""
        begin = int(rng.integers(max(len(own) - len(scene.wav), 0) + 1))
        played = _at(own[begin:], 0, len(scene.wav))
        if rng.random() >= self.config.own_echo:
            return replace(scene, played=played)
        back = self._in_room(played, self.config.echo_rt60_s, self.config.echo_db, rng)
        late = round(rng.uniform(*self.config.echo_delay_s) * self.hz)
        wav = scene.wav + _at(back, late, len(scene.wav))
        return replace(scene, wav=(wav / max(1.0, float(np.abs(wav).max()))).astype(np.float32), played=played)

    def _place(self, kind: str, sound: Wav, pauses: list[tuple[float, float]], rng: np.random.Generator) -> Scene:
        config, hz = self.config, self.hz
        at = round(rng.uniform(*config.lead_s) * hz)
        said = "complete" if kind == "paused" else kind
        segment = Segment(said, at / hz, (at + len(sound)) / hz)  # type: ignore[arg-type]
        labelling = LabelConfig(config.decision_delay_s, self.rates.chunk_s)
        end_s = max(segment.end_s + rng.uniform(*config.trail_s), needed_s([segment], labelling))
        chunks = int(np.ceil(end_s * hz / self.rates.chunk_samples))
        floor = 10 ** (rng.uniform(*config.floor_db) / 20)
        scene = coloured_noise(chunks * self.rates.chunk_samples, rng.uniform(0.5, 1.5), rng) * np.float32(floor)
        scene[at : at + len(sound)] += sound
        scene = (scene / max(1.0, float(np.abs(scene).max()))).astype(np.float32)
        placed = tuple((start + at / hz, end + at / hz) for start, end in pauses)
        return Scene(kind, scene, (segment,), placed, tuple(chunk_labels([segment], chunks, labelling)))

    def _with_pause(
        self, speech: Wav, rng: np.random.Generator, filler: Wav | None
    ) -> tuple[Wav, list[tuple[float, float]]]:
        first, second = self._cut(speech, rng)
        pieces = [first, self._silence(self.config.pause_s, rng), second]
        if filler is not None:
            pieces[1:1] = [self._silence(self.config.before_filler_s, rng), filler]
        ends = np.cumsum([len(piece) for piece in pieces]) / self.hz
        pauses = [(float(ends[at]), float(ends[at + 1])) for at in range(0, len(pieces) - 1, 2)]
        return np.concatenate(pieces), pauses

    def _silence(self, size_s: tuple[float, float], rng: np.random.Generator) -> Wav:
        return np.zeros(round(rng.uniform(*size_s) * self.hz), np.float32)

    def _cut(self, speech: Wav, rng: np.random.Generator) -> tuple[Wav, Wav]:
        """Cut at the quietest point of a random stretch in the middle, with a fade on both sides."""
        low, high = sorted(rng.uniform(0.3, 0.8, 2))
        at = quietest(speech, int(low * len(speech)), int(high * len(speech)), self.hz)
        return self._faded(speech[:at], end=True), self._faded(speech[at:], end=False)

    def _faded(self, wav: Wav, end: bool) -> Wav:
        size = min(round(_FADE_S * self.hz), len(wav))
        ramp = np.linspace(0, 1, size, dtype=np.float32)
        faded = wav.copy()
        faded[len(wav) - size if end else 0 :][:size] *= ramp[::-1] if end else ramp
        return faded

    def _noise(self, rng: np.random.Generator, babble: Wav | None) -> Wav:
        """Coloured noise, clicks, or other voices, with a beginning and an end."""
        size = round(rng.uniform(*self.config.noise_s) * self.hz)
        level = np.float32(10 ** (rng.uniform(*self.config.noise_db) / 20))
        sort = rng.integers(3 if babble is not None and len(babble) > size else 2)
        if sort == 2:
            assert babble is not None
            start = int(rng.integers(len(babble) - size))
            noise = babble[start : start + size] / max(float(np.sqrt(np.mean(babble**2))), 1e-9)
        else:
            noise = coloured_noise(size, rng.uniform(0.0, 2.0), rng)
            if sort == 1:
                noise = noise * clicks(size, self.hz, rng) * np.float32(4.0)
        noise = (noise * level).astype(np.float32)
        return self._faded(self._faded(noise, end=True), end=False)

    def _echo(self, speech: Wav, rng: np.random.Generator) -> tuple[Wav, Wav]:
        """A stretch of the system's own voice, and how it comes out of its loudspeaker."""
        size = min(round(rng.uniform(*self.config.echo_s) * self.hz), len(speech))
        begin = int(rng.integers(len(speech) - size + 1))
        part = self._faded(self._faded(speech[begin : begin + size], end=True), end=False)
        return part, self._in_room(part, self.config.echo_rt60_s, self.config.echo_db, rng)

    def _in_room(
        self, speech: Wav, rt60_s: tuple[float, float], level_db: tuple[float, float], rng: np.random.Generator
    ) -> Wav:
        """From further away: at another level, in a room."""
        room = room_response(rng.uniform(*rt60_s), rng.uniform(-3, 3), self.hz, rng)
        return reverberate(speech, room) * np.float32(10 ** (rng.uniform(*level_db) / 20))


def _at(wav: Wav, at: int, samples: int) -> Wav:
    """(samples,) of silence with (S,) from sample `at` on, as far as it fits."""
    placed = np.zeros(samples, np.float32)
    part = wav[: max(samples - at, 0)]
    placed[at : at + len(part)] = part
    return placed


def quietest(wav: Wav, low: int, high: int, hz: int) -> int:
    """The sample in [low, high) around which 30 ms hold the least energy."""
    size = max(round(_DIP_S * hz), 1)
    up_to = np.concatenate([[0.0], np.cumsum(wav.astype(np.float64) ** 2)])
    begin = np.arange(low, max(high, low + 1)) - size // 2
    energy = up_to[np.clip(begin + size, 0, len(wav))] - up_to[np.clip(begin, 0, len(wav))]
    return low + int(np.argmin(energy))


def clicks(samples: int, hz: int, rng: np.random.Generator) -> Wav:
    """An envelope of knocks: two to six a second, each of some 20 ms."""
    envelope = np.zeros(samples, np.float32)
    for _ in range(max(1, round(samples / hz * rng.uniform(2, 6)))):
        at = int(rng.integers(samples))
        decay = np.exp(-np.arange(samples - at) / (0.005 * hz)).astype(np.float32)
        envelope[at:] = np.maximum(envelope[at:], decay)
    return envelope


def babble_of(voices: list[Wav], samples: int, rng: np.random.Generator) -> Wav:
    """Some voices at once (samples,): each repeated from a random place."""
    mixed = np.zeros(samples, np.float32)
    for wav in voices:
        repeated = np.resize(np.roll(wav, int(rng.integers(len(wav)))), samples)
        mixed += repeated / max(float(np.sqrt(np.mean(repeated**2))), 1e-9)
    return mixed
