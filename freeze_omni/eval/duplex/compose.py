"""Compose scripted scenes from spoken sentences of Kaldi directories or dialogue sets, the same for the same seed."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from freeze_omni.data.audio import Wav, read_audio, trim_silence, write_wav
from freeze_omni.data.augment import coloured_noise
from freeze_omni.data.tables import TableError, read_table
from freeze_omni.duplex.scenes import FILLER, NAMED, SceneConfig, SceneMaker, babble_of
from freeze_omni.duplex.scenes import Scene as Clip
from freeze_omni.eval.duplex.scene import KINDS, OVER_ANSWER, Echo, Said, ScriptedScene, write_scenes
from freeze_omni.eval.sets import read_jsonl

_QUESTION = "question"
_DIALOGUE_KINDS = {"complete": _QUESTION, "backchannel": "backchannel", "side": "side", "wait": "wait"}
_EXPECTED = {"interruption": "stop", "wait": "wait"}  # of sounds over the answer; all others: go_on
_MAKER_KIND = {"turn": "complete", "pause": "paused", "background": "side"}
_BACKGROUND_S = 3.0


@dataclass(frozen=True)
class Sound:
    """One sentence. span_s: where it is in its file; None: all but the silence around it. speaker: if known."""

    kind: str
    entry: str
    text: str
    span_s: tuple[float, float] | None = None
    speaker: str = ""

    def read(self, hz: int) -> Wav:
        """Samples (S,). Raises AudioError."""
        wav, _ = read_audio(self.entry, hz)
        if self.span_s is None:
            return trim_silence(wav, hz, keep_s=0.0)
        return wav[round(self.span_s[0] * hz) : round(self.span_s[1] * hz)]


def read_sounds(folder: Path) -> list[Sound]:
    """All utterances; of a dialogue set its whole turns, backchannels and side talk. Raises TableError."""
    wavs, texts = read_table(folder / "wav.scp"), read_table(folder / "text", need_value=False)
    if missing := [key for key in wavs if key not in texts]:
        raise TableError(f"{folder / 'text'}: {missing[0]} of wav.scp is not in it; add its words")
    speakers = read_table(folder / "utt2spk") if (folder / "utt2spk").is_file() else {}
    if not (folder / "scene").is_file():
        kinds = {
            key: next((kind for kind in (*NAMED, FILLER) if key.startswith(f"{kind}-")), _QUESTION) for key in wavs
        }
        return [Sound(kinds[key], entry, texts[key], None, speakers.get(key, "")) for key, entry in wavs.items()]
    sounds = []
    for key, scene in read_jsonl(folder / "scene").items():
        try:
            first, *others = scene["segments"]
            kind, span_s = _DIALOGUE_KINDS.get(first["kind"]), (float(first["start_s"]), float(first["end_s"]))
        except (KeyError, ValueError, TypeError):
            wanted = "segments of kind, start_s, end_s"
            raise TableError(f"{folder / 'scene'}: {key} has no {wanted}; make the set again") from None
        if key not in wavs:
            raise TableError(f"{folder / 'scene'}: {key} is not in wav.scp; make the set again")
        if kind and not others and not scene.get("pauses"):
            sounds.append(Sound(kind, wavs[key], texts[key], span_s, speakers.get(key, "")))
    return sounds


class Pools:
    """Sounds by their possible roles in a scene. Raises TableError without a question."""

    def __init__(self, sounds: Sequence[Sound]) -> None:
        self.questions = [one for one in sounds if one.kind == _QUESTION]
        if not self.questions:
            raise TableError("--data: no user's question in it; add a directory with some")
        self.of = {kind: [one for one in sounds if one.kind == kind] for kind in (*NAMED, FILLER)}
        self.of |= {"background": self.of["side"] or self.questions, "noise": self.questions}

    def kinds(self) -> list[str]:
        return [kind for kind in KINDS if kind not in NAMED or self.of[kind]]


@dataclass(frozen=True)
class ComposeConfig:
    """Ranges are (least, most), drawn evenly. into_answer_s: how long the system has spoken before a sound comes;
    wait_s: how long after the turn if it is silent. tail_s: silence at the end. fillers: share of the pauses in which
    the user says one of the fillers, if the data has some.
    """

    lead_s: tuple[float, float] = (0.3, 0.8)
    wait_s: float = 4.0
    into_answer_s: tuple[float, float] = (0.5, 1.2)
    tail_s: float = 5.0
    echo_tail_s: float = 8.0
    echo_delay_s: tuple[float, float] = (0.06, 0.2)
    echo_db: tuple[float, float] = (-30.0, -15.0)
    fillers: float = 0.4
    clips: SceneConfig = field(default_factory=SceneConfig)


class Composer:
    """Makes scenes with their sound; a waiting sound is separate from the bed."""

    def __init__(self, pools: Pools, config: ComposeConfig | None = None) -> None:
        self.pools, self.config = pools, config or ComposeConfig()
        self.maker = SceneMaker(self.config.clips)
        self.hz = self.maker.hz

    def write(self, folder: Path, kinds: Sequence[str], count: int, seed: int) -> list[ScriptedScene]:
        """`count` scenes of each kind into `folder`, in the form of `scene.py`."""
        scenes = []
        for kind, number in itertools.product(kinds, range(count)):
            key = f"{kind}-{number:04d}"
            scene, bed, event = self.make(kind, key, np.random.default_rng([seed, *key.encode()]))
            planned = bed.copy()
            if event is not None:
                at = round(scene.said[-1].start_s * self.hz)
                planned[at : at + len(event)] += event
                write_wav(folder / key / "bed.wav", bed, self.hz)
                write_wav(folder / key / "event.wav", event, self.hz)
            write_wav(folder / key / "input.wav", planned, self.hz)
            scenes.append(scene)
        write_scenes(folder, scenes)
        return scenes

    def make(self, kind: str, key: str, rng: np.random.Generator) -> tuple[ScriptedScene, Wav, Wav | None]:
        """A scene, its bed (S,), and the sound (E,) that waits for the system, if any."""
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
            expect = _EXPECTED.get(kind, "go_on")
            said.append(Said(kind, start_s, self._end_s(start_s, event), expect, text))
            tail_s += into_s  # it may begin that much later than planned
        elif kind == "echo":
            echo = Echo(_drawn(config.echo_delay_s, rng), _drawn(config.echo_db, rng))
            tail_s = config.echo_tail_s
        chunks = int(np.ceil((said[-1].end_s + tail_s) / self.maker.rates.chunk_s))
        floor = 10 ** (rng.uniform(*config.clips.floor_db) / 20)
        bed = coloured_noise(chunks * self.maker.rates.chunk_samples, rng.uniform(0.5, 1.5), rng) * np.float32(floor)
        at = round(lead_s * self.hz)
        bed[at : at + len(clip)] += clip
        seconds = round(len(bed) / self.hz, 3)
        return ScriptedScene(key, kind, seconds, tuple(said), into_s, echo), bed.astype(np.float32), event

    def _event(self, kind: str, asked: Sound, rng: np.random.Generator) -> tuple[str, Wav]:
        if kind == "interruption":
            others = [one for one in self.pools.questions if one.text != asked.text] or [asked]
            taken = _any(_by(others, asked, same=True), rng)
            return taken.text, self._clip("turn", taken, rng)[0]
        pool = self.pools.of[kind]
        taken = _any(_by(pool, asked, same=kind in ("backchannel", "wait")), rng)
        if kind != "background":
            return "" if kind == "noise" else taken.text, self._clip(kind, taken, rng)[0]
        voices = [_any(_by(pool, asked, same=False), rng).read(self.hz) for _ in range(2)]
        babble = babble_of(voices, round(_BACKGROUND_S * self.hz), rng) * np.float32(0.1)
        return "", self._cut(self.maker.make("side", babble, rng))

    def _clip(self, kind: str, sound: Sound, rng: np.random.Generator) -> tuple[Wav, list[tuple[float, float]]]:
        """One sound as `kind`, and its pauses in seconds of it; sound that is far away already stays as it is."""
        speech = sound.read(self.hz)
        if kind == "side" and sound.span_s is not None:
            return speech, []
        filler = self._filler(sound, rng) if kind == "pause" else None
        made = self.maker.make(_MAKER_KIND.get(kind, kind), speech, rng, filler=filler)
        start_s = made.segments[0].start_s
        return self._cut(made), [(start - start_s, end - start_s) for start, end in made.pauses]

    def _filler(self, user: Sound, rng: np.random.Generator) -> Wav | None:
        said = self.pools.of[FILLER]
        if not said or rng.random() >= self.config.fillers:
            return None
        return _any(_by(said, user, same=True), rng).read(self.hz)

    def _cut(self, made: Clip) -> Wav:
        (segment,) = made.segments
        return made.wav[round(segment.start_s * self.hz) : round(segment.end_s * self.hz)]

    def _end_s(self, start_s: float, clip: Wav) -> float:
        return round(start_s + len(clip) / self.hz, 3)


def _drawn(limits: tuple[float, float], rng: np.random.Generator) -> float:
    return round(float(rng.uniform(*limits)), 3)


def _by(sounds: Sequence[Sound], user: Sound, same: bool) -> Sequence[Sound]:
    """Those in the user's voice, or in others; all if there are none."""
    return [one for one in sounds if (one.speaker == user.speaker) == same] or sounds


def _any(sounds: Sequence[Sound], rng: np.random.Generator) -> Sound:
    return sounds[int(rng.integers(len(sounds)))]
