"""Stage 4 as a whole: ask the LLM, speak its answers, compose every set of the configuration."""

from __future__ import annotations

import json
import random
from pathlib import Path

from freeze_omni.data.dialogue import Dialogue, DialogueConfig, plan_set, write_dialogues
from freeze_omni.data.questions.answers import LlmAnswer, answer_questions
from freeze_omni.data.questions.facts import read_questions
from freeze_omni.data.scenes import SceneMaker
from freeze_omni.data.tables import read_table
from freeze_omni.data.tts.base import Voice
from freeze_omni.data.tts.registry import TtsFolders, default_cache
from freeze_omni.data.tts.synthesize import Job, synthesize


def make_dialogues(
    config: DialogueConfig, data: Path, output: Path, llm_folder: str, folders: TtsFolders, nj: int
) -> None:
    """Write `output`/<set>/ for each set. Raises TableError, TtsError and LlmError before long work."""
    answers = _ask(config, data, llm_folder, folders)
    plans = {}
    for number, (name, one) in enumerate(config.sets.items()):
        rng = random.Random(1000 * config.seed + number)
        plans[name] = plan_set(one, data, answers, rng)
    spoken = [d for name, one in config.sets.items() if one.speak_answers for d in plans[name]]
    answer_wavs = _speak(spoken, config.voice, folders, nj)
    maker = SceneMaker(config.scene)
    for name, planned in plans.items():
        counts = write_dialogues(output / name, planned, answer_wavs, maker, config.seed)
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        print(f"{output / name}: {said}", flush=True)


def _ask(config: DialogueConfig, data: Path, llm_folder: str, folders: TtsFolders) -> dict[str, LlmAnswer]:
    """The LLM's answers to what is spoken. Questions that stage 1 has asked come from the cache."""
    wanted: dict[str, None] = {}
    for one in config.sets.values():
        if one.qa:
            wanted.update(dict.fromkeys(_wanted(data / one.qa, data / one.speech)))
    if not wanted:
        return {}
    from freeze_omni.llm.frozen import FrozenLLM

    llm = FrozenLLM.load(llm_folder, "float32", "cpu")
    cache = Path(folders.cache) if folders.cache else default_cache()
    return answer_questions(llm, list(wanted), config.answers, cache)


def _wanted(qa: Path, speech: Path) -> list[str]:
    """Questions of a folder that are spoken in `speech`; where the folder knows answers, only those asked."""
    questions = read_questions(qa / "questions.jsonl")
    spoken = set(read_table(speech / "text").values())
    asked = read_asked(qa / "answers.jsonl")
    return [q.question for q in questions if q.question in spoken and (not asked or q.id in asked)]


def read_asked(path: Path) -> set[str]:
    """Ids of the questions that stage 1 has put to the LLM; none where it has not."""
    if not path.exists():
        return set()
    return {json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()}


def _speak(planned: list[Dialogue], voice: str, folders: TtsFolders, nj: int) -> dict[str, Path]:
    """Answer text -> wav file; the same answer is spoken once."""
    texts = sorted({dialogue.answer for dialogue in planned if dialogue.answer})
    jobs = [Job(text, text, Voice.parse(voice)) for text in texts]
    return synthesize(jobs, folders, nj)
