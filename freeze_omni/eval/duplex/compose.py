"""Compose scenes from spoken sentences; the same seed and sentences give the same scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from freeze_omni.data.audio import Wav, write_wav
from freeze_omni.data.augment import coloured_noise
from freeze_omni.duplex.scenes import Scene as Clip
from freeze_omni.duplex.scenes import SceneConfig, SceneMaker, babble_of
from freeze_omni.eval.duplex.scene import OVER_ANSWER, Echo, Said, Scene, write_scenes
from freeze_omni.eval.duplex.sounds import Pools, Sound

EXPECT = {"interruption": "stop"}
_MAKER_KIND = {"turn": "complete", "pause": "paused", "background": "side"}
_BACKGROUND_S = 3.0


@dataclass(frozen=True)
class ComposeConfig:
    """Ranges are (least, most), drawn evenly.

    wait_s: a sound that waits for the system to speak comes so long behind the turn if it does not speak.
    into_answer_s: how long the system has spoken before that sound comes. tail_s: what follows all that sounds.
    """

    lead_s: tuple[float, float] = (0.3, 0.8)
    wait_s: float = 4.0
    into_answer_s: tuple[float, float] = (0.5, 1.2)
    tail_s: float = 5.0
    echo_tail_s: float = 8.0
    echo_delay_s: tuple[float, float] = (0.06, 0.2)
    echo_db: tuple[float, float] = (-30.0, -15.0)
    clips: SceneConfig = field(default_factory=SceneConfig)


class Composer:
    """Makes scenes with their sound: of a waiting sound the bed without it, and it alone."""

    def __init__(self, pools: Pools, config: ComposeConfig | None = None) -> None:
        self.pools, self.config = pools, config or ComposeConfig()
        self.maker = SceneMaker(self.config.clips)
        self.hz = self.maker.hz

    def write(self, folder: Path, kinds: Sequence[str], count: int, seed: int) -> list[Scene]:
        """`count` scenes of each kind into `folder`, as `scene.py` describes it."""
        scenes = []
        for kind in kinds:
            for number in range(count):
                key = f"{kind}-{number:04d}"
                scene, bed, event = self.make(kind, key, np.random.default_rng([seed, *key.encode()]))
                planned = bed.copy()
                if event is not None:
                    at = round(scene.event.start_s * self.hz)
                    planned[at : at + len(event)] += event
                    write_wav(folder / key / "bed.wav", bed, self.hz)
                    write_wav(folder / key / "event.wav", event, self.hz)
                write_wav(folder / key / "input.wav", planned, self.hz)
                scenes.append(scene)
        write_scenes(folder, scenes)
        return scenes

    def make(self, kind: str, key: str, rng: np.random.Generator) -> tuple[Scene, Wav, Wav | None]:
        """A scene, its bed (S,), and the sound (E,) that waits for the system, if there is one."""
        config = self.config
        asked = _any(self.pools.questions, rng)
        clip, pauses = self._clip("pause" if kind == "pause" else "turn", asked, rng)
        lead_s = _drawn(config.lead_s, rng)
        shifted = tuple((round(lead_s + start, 3), round(lead_s + end, 3)) for start, end in pauses)
        said = [Said("turn", lead_s, self._end_s(lead_s, clip), "respond", asked.text, shifted)]
        event, into_s, echo, tail_s = None, None, None, config.tail_s
        if kind in OVER_ANSWER:
            into_s = _drawn(config.into_answer_s, rng)
            text, event = self._event(kind, asked, rng)
            start_s = round(said[0].end_s + config.wait_s, 3)
            said.append(Said(kind, start_s, self._end_s(start_s, event), EXPECT.get(kind, "go_on"), text))
            tail_s += into_s  # it may begin so much later than planned
        elif kind == "echo":
            echo = Echo(_drawn(config.echo_delay_s, rng), _drawn(config.echo_db, rng))
            tail_s = config.echo_tail_s
        chunks = int(np.ceil((said[-1].end_s + tail_s) / self.maker.rates.chunk_s))
        floor = 10 ** (rng.uniform(*config.clips.floor_db) / 20)
        bed = coloured_noise(chunks * self.maker.rates.chunk_samples, rng.uniform(0.5, 1.5), rng) * np.float32(floor)
        at = round(lead_s * self.hz)
        bed[at : at + len(clip)] += clip
        seconds = round(len(bed) / self.hz, 3)
        return Scene(key, kind, seconds, tuple(said), into_s, echo), bed.astype(np.float32), event

    def _event(self, kind: str, asked: Sound, rng: np.random.Generator) -> tuple[str, Wav]:
        if kind == "interruption":
            others = [one for one in self.pools.questions if one.text != asked.text] or [asked]
            taken = _any(_by(others, asked, same=True), rng)
            return taken.text, self._clip("turn", taken, rng)[0]
        pool = self.pools.of[kind]
        taken = _any(_by(pool, asked, same=kind == "backchannel"), rng)
        if kind != "background":
            return "" if kind == "noise" else taken.text, self._clip(kind, taken, rng)[0]
        voices = [_any(_by(pool, asked, same=False), rng).read(self.hz) for _ in range(2)]
        babble = babble_of(voices, round(_BACKGROUND_S * self.hz), rng) * np.float32(0.1)
        return "", self._cut(self.maker.make("side", babble, rng))

    def _clip(self, kind: str, sound: Sound, rng: np.random.Generator) -> tuple[Wav, list[tuple[float, float]]]:
        """One sound as `kind`, and its pauses in seconds of it. What is far away already is not put there again."""
        speech = sound.read(self.hz)
        if kind == "side" and sound.span_s is not None:
            return speech, []
        made = self.maker.make(_MAKER_KIND.get(kind, kind), speech, rng)
        start_s = made.segments[0].start_s
        return self._cut(made), [(start - start_s, end - start_s) for start, end in made.pauses]

    def _cut(self, made: Clip) -> Wav:
        (segment,) = made.segments
        return made.wav[round(segment.start_s * self.hz) : round(segment.end_s * self.hz)]

    def _end_s(self, start_s: float, clip: Wav) -> float:
        return round(start_s + len(clip) / self.hz, 3)


def _drawn(limits: tuple[float, float], rng: np.random.Generator) -> float:
    return round(float(rng.uniform(*limits)), 3)


def _by(sounds: Sequence[Sound], user: Sound, same: bool) -> Sequence[Sound]:
    """Those that the user speaks, or that others do; all where there is none."""
    return [one for one in sounds if (one.speaker == user.speaker) == same] or sounds


def _any(sounds: Sequence[Sound], rng: np.random.Generator) -> Sound:
    return sounds[int(rng.integers(len(sounds)))]
