"""Augment clean speech with rooms, noise, levels and telephone bands. Pure functions of (wav, rng, config)."""

from dataclasses import dataclass

import numpy as np

from freeze_omni.data.audio import Wav, resample

_TELEPHONE_HZ = (300.0, 3400.0)


@dataclass(frozen=True)
class AugmentConfig:
    """How often and how strongly; ranges (least, most). speed changes pitch and length, lead_s puts silence before the
    speech, as it stands before a user's: (1, 1) and (0, 0) where times matter."""

    speed: tuple[float, float] = (1.0, 1.0)
    lead_s: tuple[float, float] = (0.0, 0.0)
    reverb: float = 0.3  # share of utterances
    rt60_s: tuple[float, float] = (0.1, 0.5)
    direct_db: tuple[float, float] = (0.0, 12.0)  # direct sound over the room's response
    noise: float = 0.5
    snr_db: tuple[float, float] = (5.0, 30.0)
    telephone: float = 0.1
    gain_db: tuple[float, float] = (-12.0, 3.0)

    def __post_init__(self) -> None:
        for name in ("reverb", "noise", "telephone"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share: 0 to 1")
        for name in ("speed", "lead_s", "rt60_s", "direct_db", "snr_db", "gain_db"):
            least, most = getattr(self, name)
            if least > most or name in ("speed", "rt60_s") and least <= 0 or name == "lead_s" and least < 0:
                raise ValueError(f"{name}: expected (least, most), not ({least}, {most})")


def augment(wav: Wav, rng: np.random.Generator, config: AugmentConfig, hz: int = 16000) -> Wav:
    """Augment (S,) at random; the length stays unless `speed` or `lead_s` changes it. Never louder than 1."""
    if config.speed != (1.0, 1.0):
        wav = resample(wav, hz * rng.uniform(*config.speed), hz)
    if config.lead_s != (0.0, 0.0):
        wav = np.pad(wav, (round(rng.uniform(*config.lead_s) * hz), 0))
    if rng.random() < config.reverb:
        wav = reverberate(wav, room_response(rng.uniform(*config.rt60_s), rng.uniform(*config.direct_db), hz, rng))
    if rng.random() < config.noise:
        wav = mix(wav, coloured_noise(len(wav), rng.uniform(0.0, 2.0), rng), rng.uniform(*config.snr_db))
    if rng.random() < config.telephone:
        wav = band_limit(wav, hz, *_TELEPHONE_HZ)
    wav = wav * np.float32(10 ** (rng.uniform(*config.gain_db) / 20))
    return (wav / max(1.0, float(np.abs(wav).max(initial=0.0)))).astype(np.float32)


def room_response(rt60_s: float, direct_db: float, hz: int, rng: np.random.Generator) -> Wav:
    """An impulse, then noise that falls by 60 dB in rt60_s, `direct_db` weaker in energy."""
    count = max(int(rt60_s * hz), 2)
    tail = rng.standard_normal(count) * 10 ** (-3 * np.arange(count) / count)
    tail[: max(hz // 500, 1)] = 0  # 2 ms: the first reflection
    tail *= 10 ** (-direct_db / 20) / max(float(np.sqrt(np.sum(tail**2))), 1e-9)
    tail[0] = 1.0
    return tail.astype(np.float32)


def reverberate(wav: Wav, room: Wav) -> Wav:
    """Convolve (S,) with a room response, without delay; the length stays."""
    size = 1 << (len(wav) + len(room) - 1).bit_length()
    both = np.fft.irfft(np.fft.rfft(wav, size) * np.fft.rfft(room, size), size)
    return both[: len(wav)].astype(np.float32)


def coloured_noise(samples: int, slope: float, rng: np.random.Generator) -> Wav:
    """Noise (samples,) of power 1 whose spectrum falls with frequency ** slope (0 white, 1 pink, 2 brown)."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.maximum(np.arange(len(spectrum)), 1.0)
    noise = np.fft.irfft(spectrum / frequency ** (slope / 2), samples)
    return (noise / max(float(np.sqrt(np.mean(noise**2))), 1e-9)).astype(np.float32)


def mix(wav: Wav, noise: Wav, snr_db: float) -> Wav:
    """Add noise at `snr_db` below the mean power of (S,). Silent audio gets noise at -60 dB."""
    power = max(float(np.mean(wav**2)) if len(wav) else 0.0, 1e-6)
    level = np.sqrt(power / max(float(np.mean(noise**2)) if len(noise) else 1.0, 1e-12))
    return wav + noise * np.float32(level * 10 ** (-snr_db / 20))


def band_limit(wav: Wav, hz: int, low_hz: float, high_hz: float) -> Wav:
    spectrum, frequency = np.fft.rfft(wav), np.fft.rfftfreq(len(wav), 1 / hz)
    spectrum[(frequency < low_hz) | (frequency > high_hz)] = 0
    return np.fft.irfft(spectrum, len(wav)).astype(np.float32)
