"""Open text as synthesis jobs: more of asr_train and tts_train, and asr_dev_open in voices that training has not."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import cycle, permutations, product
from pathlib import Path

from mini_config import MiniConfig
from mini_open import OpenTexts
from mini_plan import Speakers, estimate_s, mixed_voices
from mini_sets import fixed, until

from freeze_omni.data.tts.backends import Voice
from freeze_omni.data.tts.synthesize import Job

_QUICK = ("flite", "espeak", "festival")
_ALTERED = ("^0.85^0.87", "^1.15^1.15")  # a larger and a smaller speaker than those of training


def plan_open_train(
    texts: OpenTexts, asked: Sequence[str], voices: Mapping[str, Sequence[str]], config: MiniConfig
) -> list[Job]:
    """About `seconds` of each back-end that is there, kinds by their shares; each question of `asked`, which the LLM
    answers, as often as those of the fact tables."""
    sizes = config.open
    jobs: list[Job] = []
    kinds = {kind: sizes.kinds[kind] for kind, own in texts.train.items() if own}
    queues = {kind: cycle(texts.train[kind]) for kind in kinds}
    seconds = {name: sizes.seconds[name] for name in sizes.seconds if name in voices}
    if not set(seconds) - {"kokoro"}:
        seconds = {"kokoro": sizes.only_kokoro_s}
    main = max(seconds, key=lambda name: seconds[name])
    for name, spoken_s in seconds.items():
        rng = random.Random(f"{config.seed} open {name}")
        names = _train_voices(name, voices[name], config, rng)
        speakers = Speakers(rng, sizes.speeds, f"open-{name}")
        if name == main:
            jobs += speakers.each(asked, name, names, config.asr.asked_recordings)
        for kind, share in kinds.items():
            jobs += speakers.take(queues[kind], name, names, spoken_s * share / sum(kinds.values()))
    return jobs


def plan_open_speech(texts: OpenTexts, config: MiniConfig) -> list[Job]:
    """More of the output voice, `spoken_s`: half of it sentences, as far as there are as many, the rest common words in
    any order. The fact tables have five hundred words, and a speech decoder says no others."""
    voice, seconds = Voice.parse(config.tts.voice), config.open.spoken_s
    rng = random.Random(f"{config.seed} open speech")
    sentences, said = (rng.sample(texts.train[kind], len(texts.train[kind])) for kind in ("sentences", "words"))
    chosen = until(sentences, [], seconds / 2, voice.speed)
    left_s = seconds - sum(estimate_s(text, voice.speed) for text in chosen)
    chosen += until(said, [], left_s, voice.speed)
    speakers = Speakers(rng, series="output-open")
    return [fixed(speakers, text, voice) for text in chosen]


def plan_open_dev(texts: OpenTexts, voices: Mapping[str, Sequence[str]], kokoro: Path, config: MiniConfig) -> list[Job]:
    """asr_dev_open: the questions of qa_dev_open, then sentences, in voices of no other set."""
    rng = random.Random(f"{config.seed} open dev")
    slow = _new_kokoro(kokoro, voices["kokoro"])
    quick = [("flite", name + change) for change in _ALTERED for name in voices.get("flite", ())]
    rng.shuffle(slow)
    # a slow one, then two quick ones
    speaking = [one for pair in zip(slow, quick[::2], quick[1::2], strict=False) for one in pair] or slow
    speakers = Speakers(rng, config.asr.speeds, "open-dev")
    said = [question.question for question in texts.qa_dev] + texts.dev
    return [speakers.job(text, *speaking[n % len(speaking)]) for n, text in enumerate(said)]


def _train_voices(name: str, voices: Sequence[str], config: MiniConfig, rng: random.Random) -> list[str]:
    if name == "kokoro":
        return mixed_voices(voices, config.asr.kokoro_voices, random.Random(config.seed))  # those of the other text
    if name in _QUICK:
        changes = product(voices, config.open.pitches, config.open.formants)
        voices = [f"{voice}^{pitch:g}^{formants:g}" for voice, pitch, formants in changes]
    return rng.sample(list(voices), len(voices))


def _new_kokoro(folder: Path, trained: Sequence[str]) -> list[tuple[str, str]]:
    """Kokoro's voices of other languages, which speak English too; without them, uneven means of two trained ones."""
    names = sorted({path.stem for path in folder.glob("voices/*.bin")} - set(trained))
    names = names or [f"{a}+{a}+{b}" for a, b in permutations(sorted(trained), 2)]
    return [("kokoro", name) for name in names]
