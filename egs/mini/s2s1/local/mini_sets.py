"""The sets of the mini corpus as synthesis jobs: which sentence in which voice."""

from __future__ import annotations

import random

from mini_config import MiniConfig
from mini_plan import Speakers, estimate_s, mixed_voices
from mini_scramble import scramble, vocabulary
from mini_sentences import Sentences

from freeze_omni.data.tts.backends import Voice
from freeze_omni.data.tts.synthesize import Job
from freeze_omni.dialogues.answers import LlmAnswer
from freeze_omni.speech_decoder.normalise import spoken_english

Sets = dict[str, list[Job]]
_SCRAMBLED = 20000


def plan_tts(sentences: Sentences, answers: dict[str, LlmAnswer], config: MiniConfig) -> Sets:
    """One voice: the LLM's answers to training questions, then statements, up to the seconds asked; in a share
    of these their words in any order.

    tts_words is more of the same voice, for speech output alone: every word of the training sentences and answers,
    in any order. Held out are the answers to the dev and test questions.
    """
    train = speakable([q.question for q in sentences.questions["train"]], answers, config)
    held = {
        name: speakable([q.question for q in sentences.questions[name]], answers, config) for name in ("dev", "test")
    }
    held_texts = {text for texts in held.values() for text in texts}
    train = [text for text in train if text not in held_texts]
    rest = [text for text in sentences.statements if text not in held_texts]
    voice = Voice.parse(config.tts.voice)
    mixed_s = config.tts.scrambled * config.tts.train_s
    sensible = until(train, rest, config.tts.train_s - mixed_s, voice.speed)
    rng = random.Random(f"{config.seed} scrambled answers")
    mixed = scramble(vocabulary(train + sensible), _SCRAMBLED, rng) if mixed_s else []
    sets = {"tts_train": sensible + until(mixed, [], mixed_s, voice.speed)}
    known = set(sets["tts_train"])
    for name, count in (("dev", config.tts.dev), ("test", config.tts.test)):
        sets[f"tts_{name}"] = [text for text in held[name] if text not in known][:count]
    if config.tts.words_s:
        words = scramble(vocabulary(sentences.train + train), _SCRAMBLED, random.Random(f"{config.seed} words"))
        sets["tts_words"] = until(words, [], config.tts.words_s, voice.speed)
    speakers = Speakers(random.Random(config.seed), series="output")
    return {name: [fixed(speakers, text, voice) for text in texts] for name, texts in sets.items()}


def plan_asr(
    sentences: Sentences, answers: dict[str, LlmAnswer], voices: dict[str, list[str]], config: MiniConfig
) -> Sets:
    """Many voices for training; held-out sentences in training voices and in the unseen one.

    Every training question with a speakable answer is spoken `asked_recordings` times, as dialogues are
    made of those; the rest of the seconds is filled so that rare words are said often enough.
    """
    names = {name: voices[name] for name in config.asr.seconds if name in voices}
    seconds = {name: config.asr.seconds[name] for name in names}
    if set(names) == {"kokoro"}:
        seconds["kokoro"] = config.asr.only_kokoro_s
    if "kokoro" in names:
        rng = random.Random(config.seed)
        names["kokoro"] = mixed_voices(names["kokoro"], config.asr.kokoro_voices, rng)
    asked = [q.question for q in sentences.questions["train"] if speakable([q.question], answers, config)]
    main = max(seconds, key=lambda name: seconds[name])
    train: list[Job] = []
    for name, spoken_s in seconds.items():  # each its own seed: sizes of one do not change another
        speakers = Speakers(random.Random(f"{config.seed} {name}"), config.asr.speeds, name)
        if name == main:
            train += speakers.each(asked, name, names[name], config.asr.asked_recordings)
            spoken_s -= sum(estimate_s(job.text, job.voice.speed) for job in train)
        mixed_s = config.asr.scrambled * spoken_s
        train += speakers.fill(sentences.train, name, names[name], spoken_s - mixed_s)
        train += speakers.fill(_scrambled(sentences, name, config), name, names[name], mixed_s)
    sets = {"asr_train": train} | _plan_held_out(sentences, names, config)
    unseen = Voice.parse(config.unseen)
    if unseen.name in voices.get(unseen.backend, ()):
        speakers = Speakers(random.Random(config.seed), series="unseen")
        sets["asr_test_unseen"] = [fixed(speakers, job.text, unseen) for job in sets["asr_test_seen"]]
    return sets


def _scrambled(sentences: Sentences, name: str, config: MiniConfig) -> list[str]:
    """More of them than are spoken: the rarest words are chosen first."""
    return scramble(vocabulary(sentences.train), _SCRAMBLED, random.Random(f"{config.seed} scrambled {name}"))


def _plan_held_out(sentences: Sentences, names: dict[str, list[str]], config: MiniConfig) -> Sets:
    """asr_dev and asr_test_seen: some voices of each back-end in turn."""
    rng = random.Random(config.seed + 1)
    speakers = Speakers(rng, config.asr.speeds, "held")
    held = sentences.held_statements + sentences.held_side_talk[config.duplex.held_out :]
    rng.shuffle(held)
    test = [q.question for q in sentences.questions["test"]] + held[: config.asr.test]
    dev = [q.question for q in sentences.questions["dev"]] + held[config.asr.test :]
    seen = []
    for name, pool in names.items():
        seen += [(name, voice) for voice in rng.sample(pool, min(len(pool), config.asr.held_voices.get(name, 0)))]
    seen = seen or [(name, voice) for name, pool in names.items() for voice in pool]
    return {
        name: [speakers.job(text, *seen[i % len(seen)]) for i, text in enumerate(texts)]
        for name, texts in (("asr_dev", dev), ("asr_test_seen", test))
    }


def plan_duplex(sentences: Sentences, voices: dict[str, list[str]], config: MiniConfig) -> Sets:
    """Backchannels, side talk, requests to wait and fillers (ids begin with their kind); those of the test are said in
    no training, and by the unseen voice."""
    rng = random.Random(config.seed + 2)
    speakers = Speakers(rng, config.asr.speeds, "duplex")
    quick = [(b, name) for b in ("flite", "espeak") for name in voices.get(b, ())]
    quick = quick or [("kokoro", name) for name in voices["kokoro"]]
    unseen = Voice.parse(config.unseen)
    new = [(unseen.backend, unseen.name)] if unseen.name in voices.get(unseen.backend, ()) else quick
    plan = {
        "duplex_train": (
            (sentences.backchannels, config.duplex.backchannels),
            (sentences.side_talk, config.duplex.side_talk),
            (sentences.fillers, config.duplex.fillers),
            (sentences.waits, config.duplex.waits),
            quick,
        ),
        "duplex_test": (
            (sentences.test_backchannels, config.duplex.held_out),
            (sentences.test_side_talk, config.duplex.held_out),
            (sentences.test_fillers, config.duplex.held_out if config.duplex.fillers else 0),
            (sentences.test_waits, config.duplex.held_out if config.duplex.waits else 0),
            new,
        ),
    }
    sets: Sets = {}
    for name, (*phrases, speaking) in plan.items():
        jobs = []
        for kind, (texts, count) in zip(("backchannel", "side", "filler", "wait"), phrases, strict=True):
            for i in range(count if texts else 0):
                job = speakers.job(texts[i % len(texts)], *speaking[rng.randrange(len(speaking))])
                jobs.append(Job(f"{kind}-{job.utterance}", job.text, job.voice))
        sets[name] = jobs
    return sets


def speakable(questions: list[str], answers: dict[str, LlmAnswer], config: MiniConfig) -> list[str]:
    """The LLM's answers, numbers in words, each once: those that ended and are short enough."""
    texts: dict[str, None] = {}
    for question in questions:
        answer = answers.get(question)
        if answer is None or not answer.ended:
            continue
        text = spoken_english(answer.text)
        if 1 <= len(text.split()) <= config.tts.answer_words and "\n" not in text:
            texts.setdefault(text)
    return list(texts)


def until(first: list[str], then: list[str], seconds: float, speed: float) -> list[str]:
    chosen: list[str] = []
    spoken_s = 0.0
    for text in dict.fromkeys([*first, *then]):
        if spoken_s >= seconds:
            break
        chosen.append(text)
        spoken_s += estimate_s(text, speed)
    return chosen


def fixed(speakers: Speakers, text: str, voice: Voice) -> Job:
    job = speakers.job(text, voice.backend, voice.name)
    return Job(job.utterance, text, voice)
