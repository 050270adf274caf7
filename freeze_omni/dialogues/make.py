"""Stage 4 as a whole: ask the LLM, speak its answers, compose every set of the configuration."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from freeze_omni.data.audio import read_audio, write_wav
from freeze_omni.data.audio_header import read_header
from freeze_omni.data.dialogue import Dialogue, plan_set, write_dialogues
from freeze_omni.data.dialogue_config import DialogueConfig
from freeze_omni.data.questions.answers import AnswerConfig, Asked, answer_rounds
from freeze_omni.data.questions.facts import read_questions
from freeze_omni.data.rounds import Ask, later_rounds
from freeze_omni.data.scenes import SceneMaker
from freeze_omni.data.tables import read_table
from freeze_omni.data.tts.base import Voice
from freeze_omni.data.tts.registry import TtsFolders, default_cache
from freeze_omni.data.tts.synthesize import Job, synthesize

# (a folder for what was heard, sound by id, text by id) -> ids of what is misheard
Misheard = Callable[[Path, Mapping[str, object], Mapping[str, str]], set[str]]


def make_dialogues(
    config: DialogueConfig,
    data: Path,
    output: Path,
    llm_folder: str,
    folders: TtsFolders,
    nj: int,
    misheard: Misheard | None = None,
) -> None:
    """Write `output`/<set>/ for each set; misheard: judges what `config.rejection` names, which needs it.

    Raises TableError, TtsError and LlmError before long work.
    """
    ask = _asker(config.answers, llm_folder, folders)
    answers = {one.question: answer for one, answer in ask(_wanted_of_all(config, data)).items()}
    plans, draws = {}, {}
    for number, (name, one) in enumerate(config.sets.items()):
        draws[name] = random.Random(1000 * config.seed + number)
        plans[name] = plan_set(one, data, answers, draws[name])
    for name, one in config.sets.items():
        plans[name] += later_rounds(one, data, plans[name], ask, draws[name])
    rejection = config.rejection
    if rejection and rejection.questions:
        plans = _without_misheard(plans, misheard, output / "judged/questions")
    spoken = [d for name, one in config.sets.items() if one.speak_answers for d in plans[name]]
    maker = SceneMaker(config.scene)
    answer_wavs = _speak(spoken, config.voice, folders, nj)
    answer_wavs = _at_rate(answer_wavs, maker.rates.output_hz, output / "answer_wav")
    if rejection and rejection.answers and answer_wavs:
        texts = {path.stem: text for text, path in answer_wavs.items()}
        wavs = {path.stem: path for path in answer_wavs.values()}
        for key in misheard(output / "judged/answers", wavs, texts):
            del answer_wavs[texts[key]]
    for name, planned in plans.items():
        counts = write_dialogues(output / name, planned, answer_wavs, maker, config.seed)
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        later = sum(bool(dialogue.history) for dialogue in planned)
        print(f"{output / name}: {said}" + (f"; {later} in later rounds" if later else ""), flush=True)


def _asker(config: AnswerConfig, llm_folder: str, folders: TtsFolders) -> Ask:
    """Asks the LLM, which is read when there is something to ask."""

    @lru_cache(maxsize=1)
    def llm():
        from freeze_omni.llm.frozen import FrozenLLM

        return FrozenLLM.load(llm_folder, "float32", "cpu")

    cache = Path(folders.cache) if folders.cache else default_cache()
    return lambda asked: answer_rounds(llm(), asked, config, cache) if asked else {}


def _wanted_of_all(config: DialogueConfig, data: Path) -> list[Asked]:
    """First questions of all sets. Those that stage 1 has asked come from the cache."""
    wanted: dict[str, None] = {}
    for one in config.sets.values():
        if one.qa:
            wanted.update(dict.fromkeys(_wanted(data / one.qa, data / one.speech)))
    return [Asked(question) for question in wanted]


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


def _without_misheard(
    plans: Mapping[str, Sequence[Dialogue]], misheard: Misheard, folder: Path
) -> dict[str, list[Dialogue]]:
    """The plans without the questions whose recording the judge does not hear as it was written."""
    takes = {d.recording.utterance: d.recording for planned in plans.values() for d in planned if d.question}
    gone = misheard(folder, {key: take.entry for key, take in takes.items()}, {k: t.text for k, t in takes.items()})
    return {
        name: [d for d in planned if d.question is None or d.recording.utterance not in gone]
        for name, planned in plans.items()
    }


def _speak(planned: list[Dialogue], voice: str, folders: TtsFolders, nj: int) -> dict[str, Path]:
    """Answer text -> wav file; the same answer is spoken once."""
    texts = sorted({dialogue.answer for dialogue in planned if dialogue.answer})
    jobs = [Job(text, text, Voice.parse(voice)) for text in texts]
    return synthesize(jobs, folders, nj)


def _at_rate(wavs: Mapping[str, Path], hz: int, folder: Path) -> dict[str, Path]:
    """The same speech at `hz`; of what a voice speaks at another rate there are copies in `folder`."""
    found = dict(wavs)
    for text, path in wavs.items():
        if read_header(path).rate_hz != hz:
            found[text] = (folder / path.name).resolve()
            if not found[text].exists():
                write_wav(found[text], read_audio(str(path), hz)[0], hz)
    return found
