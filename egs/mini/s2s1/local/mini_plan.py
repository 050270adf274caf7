"""Who says what: sentences and voices to synthesis jobs of so many seconds."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

from mini_split import words

from freeze_omni.data.tts.backends import Voice
from freeze_omni.data.tts.synthesize import Job

_CHARACTERS_A_SECOND = 15.0
_CANDIDATES = 12


def estimate_s(text: str, speed: float = 1.0) -> float:
    """About how long `text` takes to be said, in seconds."""
    return 0.15 + len(text) / _CHARACTERS_A_SECOND / speed


def mixed_voices(names: Sequence[str], count: int, rng: random.Random) -> list[str]:
    """The voices themselves and, up to `count` in all, means of two of them (`a+b`)."""
    pairs = [f"{a}+{b}" for a, b in combinations(sorted(names), 2)]
    rng.shuffle(pairs)
    return [*names, *pairs[: max(count - len(names), 0)]]


class Speakers:
    """Deals out sentences and voices in turn, so that both come evenly.

    Ids never repeat within one object, nor between those of a different `series`.
    """

    def __init__(self, rng: random.Random, speeds: tuple[float, float] = (1.0, 1.0), series: str = "") -> None:
        self._rng = rng
        self._speeds = speeds
        self._series = series
        self._count = 0
        self._said: Counter[str] = Counter()

    def job(self, text: str, backend: str, name: str) -> Job:
        """One job at a random speed (two decimals, so that like requests meet in the cache)."""
        voice = Voice(backend, name, round(self._rng.uniform(*self._speeds), 2))
        self._count += 1
        return Job(f"{voice.speaker}-{self._series}{self._count:05d}", text, voice)

    def each(self, sentences: Sequence[str], backend: str, names: Sequence[str], times: int) -> list[Job]:
        """Every sentence `times` times, in different voices while there are that many."""
        jobs = []
        for number, text in enumerate(sentences):
            for turn in range(times):
                self._said.update(words(text))
                jobs.append(self.job(text, backend, names[(number + turn) % len(names)]))
        return jobs

    def take(self, texts: Iterator[str], backend: str, names: Sequence[str], seconds: float) -> list[Job]:
        """The next of `texts`, about `seconds` of speech, the voices in turn."""
        jobs: list[Job] = []
        spoken_s = 0.0
        while names and spoken_s < seconds and (text := next(texts, None)):
            jobs.append(self.job(text, backend, names[len(jobs) % len(names)]))
            spoken_s += estimate_s(text, jobs[-1].voice.speed)
        return jobs

    def fill(self, sentences: Sequence[str], backend: str, names: Sequence[str], seconds: float) -> list[Job]:
        """Jobs of about `seconds` of speech, the voices in turn.

        Of some sentences drawn the one is taken whose rarest word was said least so far: names come
        about as often as one another, and a sentence comes again when its words are short.
        """
        jobs: list[Job] = []
        spoken_s = 0.0
        while sentences and names and spoken_s < seconds:
            drawn = [self._rng.choice(sentences) for _ in range(_CANDIDATES)]
            text = min(drawn, key=self._rarest)
            self._said.update(words(text))
            jobs.append(self.job(text, backend, names[len(jobs) % len(names)]))
            spoken_s += estimate_s(text, jobs[-1].voice.speed)
        return jobs

    def _rarest(self, text: str) -> int:
        return min((self._said[word] for word in words(text)), default=0)
