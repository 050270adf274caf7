import numpy as np
import pytest

from freeze_omni.data.augment import (
    AugmentConfig,
    augment,
    band_limit,
    coloured_noise,
    mix,
    reverberate,
    room_response,
)
from tests.data.conftest import tone


def test_everything_at_once_keeps_length_and_range_and_follows_the_seed() -> None:
    config = AugmentConfig(reverb=1, noise=1, telephone=1)
    wav = tone(0.5)
    first = augment(wav, np.random.default_rng(3), config)
    again = augment(wav, np.random.default_rng(3), config)
    other = augment(wav, np.random.default_rng(4), config)
    assert first.shape == wav.shape and first.dtype == np.float32
    assert np.abs(first).max() <= 1 and np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_nothing_asked_is_nothing_done() -> None:
    config = AugmentConfig(reverb=0, noise=0, telephone=0, gain_db=(0, 0))
    wav = tone(0.2)
    assert np.array_equal(augment(wav, np.random.default_rng(0), config), wav)


def test_silence_stands_before_the_speech() -> None:
    config = AugmentConfig(reverb=0, noise=0, telephone=0, gain_db=(0, 0), lead_s=(0.1, 0.3))
    wav = tone(0.2)
    leads = [len(augment(wav, np.random.default_rng(seed), config)) - len(wav) for seed in range(20)]
    assert 1600 <= min(leads) < 2400 and 4000 < max(leads) <= 4800
    made = augment(wav, np.random.default_rng(0), config)
    assert np.array_equal(made[leads[0] :], wav) and not made[: leads[0]].any()
    with pytest.raises(ValueError, match="lead_s"):
        AugmentConfig(lead_s=(-0.1, 0.3))


def test_the_snr_is_what_was_asked() -> None:
    wav = tone(1.0)
    noise = coloured_noise(len(wav), 1.0, np.random.default_rng(0))
    added = mix(wav, noise, 10.0) - wav
    assert 10 * np.log10(np.mean(wav**2) / np.mean(added**2)) == pytest.approx(10, abs=0.05)


def test_noise_falls_with_its_slope() -> None:
    spectrum = np.abs(np.fft.rfft(coloured_noise(16000, 2.0, np.random.default_rng(0)))) ** 2
    low, high = spectrum[100:200].mean(), spectrum[1000:2000].mean()
    assert 10 * np.log10(low / high) == pytest.approx(20, abs=2)


def test_a_room_keeps_the_direct_sound_and_adds_energy_after_it() -> None:
    rng = np.random.default_rng(0)
    room = room_response(0.3, 6.0, 16000, rng)
    assert room[0] == 1 and np.sum(room[1:] ** 2) == pytest.approx(10**-0.6, rel=0.05)
    impulse = np.zeros(8000, np.float32)
    impulse[100] = 1
    answer = reverberate(impulse, room)
    assert np.abs(answer[:100]).max() < 1e-5 and answer[100] == pytest.approx(1, abs=1e-4)
    assert np.abs(answer[200:4000]).max() > 0.005


def test_a_telephone_has_no_bass() -> None:
    assert np.abs(band_limit(tone(0.5), 16000, 300, 3400)).max() < 0.02


def test_a_range_the_wrong_way_round_is_an_error() -> None:
    with pytest.raises(ValueError, match="snr_db"):
        AugmentConfig(snr_db=(20, 5))
