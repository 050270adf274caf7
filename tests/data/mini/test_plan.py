import random

import pytest
from mini_plan import Speakers, estimate_s, mixed_voices


def test_seconds_are_filled_evenly() -> None:
    speakers = Speakers(random.Random(0), (0.9, 1.1))
    jobs = speakers.fill(["one two three", "four five six"], "flite", ["slt", "rms"], 20.0)
    spoken_s = sum(estimate_s(job.text, job.voice.speed) for job in jobs)
    assert 20 <= spoken_s < 22 and len({job.utterance for job in jobs}) == len(jobs)
    texts = [job.text for job in jobs]
    assert abs(texts.count("one two three") - texts.count("four five six")) <= 1
    assert {job.voice.name for job in jobs} == {"slt", "rms"}
    assert all(0.9 <= job.voice.speed <= 1.1 for job in jobs)


def test_means_of_voices_fill_up() -> None:
    voices = mixed_voices(["a", "b", "c"], 5, random.Random(0))
    assert voices[:3] == ["a", "b", "c"] and len(voices) == 5 and all("+" in v for v in voices[3:])
    assert mixed_voices(["a", "b"], 1, random.Random(0)) == ["a", "b"]


def test_slow_speech_takes_longer() -> None:
    assert estimate_s("x" * 30, 0.5) == pytest.approx(0.15 + 4)


def test_rare_words_are_said_as_often_as_frequent_ones() -> None:
    usual = [f"{start} the capital of country{i}" for start in ("name", "tell", "say") for i in range(3)] * 9
    jobs = Speakers(random.Random(0)).fill([*usual, "the opera"], "flite", ["slt"], 120.0)
    spoken = " ".join(job.text for job in jobs).split()
    assert spoken.count("opera") >= 3 and spoken.count("country1") < 6 * spoken.count("opera")
