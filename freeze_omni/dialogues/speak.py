"""Written dialogues become speech: the user's turns in many voices, the assistant's sentences in one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freeze_omni.data.corpora.speakable import unspeakable
from freeze_omni.data.tables import TableError, read_jsonl
from freeze_omni.data.tts.base import Voice
from freeze_omni.data.tts.synthesize import Job
from freeze_omni.speech_decoder.normalise import spoken_english

_SENTENCE_END = re.compile(r"(?<=[.?!])\s+|(?<=[。？！])")


@dataclass(frozen=True)
class SpeakConfig:
    """How much is spoken. rounds: user turns of a dialogue, from its start. sentences: of the assistant, in total."""

    voices: tuple[str, ...]
    voice: str = ""
    dialogues: int = 0  # 0: all
    rounds: int = 3
    sentences: int = 0
    most_words: int = 30  # of a sentence of the assistant


def read_dialogues(path: Path) -> list[dict[str, Any]]:
    """dialogues.jsonl. Raises TableError that names the line."""
    if not path.is_file():
        raise TableError(f"{path}: no such file; prepare the dialogue corpus first")
    found = []
    for number, row in read_jsonl(path):
        try:
            row["id"], row["rounds"][0]["user"]
        except (KeyError, TypeError, IndexError):
            raise TableError(f"{path}:{number}: no dialogue with `id` and `rounds`; fix the line") from None
        found.append(row)
    return found


def user_jobs(dialogues: Sequence[dict[str, Any]], config: SpeakConfig) -> list[Job]:
    """The user's turns: one voice for each dialogue, the voices in turn."""
    jobs = []
    for number, dialogue in enumerate(dialogues[: config.dialogues or None]):
        voice = Voice.parse(config.voices[number % len(config.voices)])
        for turn, one in enumerate(dialogue["rounds"][: config.rounds]):
            jobs.append(Job(f"{voice.speaker}-{dialogue['id']}-{turn}", one["user"], voice))
    return jobs


def assistant_jobs(dialogues: Sequence[dict[str, Any]], config: SpeakConfig) -> list[Job]:
    """Sentences of the assistant that can be spoken, each once, numbers in words, in the one voice."""
    if not config.voice:
        return []
    voice = Voice.parse(config.voice)
    texts: dict[str, str] = {}
    for dialogue in dialogues:
        for one in dialogue["rounds"]:
            for sentence in _SENTENCE_END.split(one["assistant"]):
                text = " ".join(spoken_english(sentence).split())
                if text and unspeakable(text, config.most_words) is None and len(texts) < config.sentences:
                    texts.setdefault(text, f"{voice.speaker}-{dialogue['id']}-{len(texts):06d}")
    return [Job(key, text, voice) for text, key in texts.items()]
