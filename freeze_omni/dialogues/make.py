"""Stage 4 as a whole: ask the LLM, speak its answers, compose every set of the configuration."""

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from freeze_omni.data.audio import read_audio, read_header, write_wav
from freeze_omni.data.parts import WHOLE, LeftToOthers, Part
from freeze_omni.data.questions import read_questions, write_questions
from freeze_omni.data.tables import TableError, read_jsonl, read_table, write_jsonl, write_speakers, write_table
from freeze_omni.data.tts.backends import Voice
from freeze_omni.data.tts.synthesize import Job, TtsFolders, spoken_paths, synthesize
from freeze_omni.dialogues.answers import Ask, Asked
from freeze_omni.dialogues.compose import compose, forget_shards, played_wav
from freeze_omni.dialogues.plan import DialogueConfig, Misheard, PlannedScene, later_rounds, plan_set
from freeze_omni.dialogues.reference import write_reference
from freeze_omni.duplex.scenes import SceneMaker
from freeze_omni.speech_decoder.normalise import text_styler

Step = Literal["answers", "speech", "judged", "scenes"]
"""Asked, and questions judged; answers spoken; spoken answers judged; all composed."""


def write_dialogues(
    folder: Path,
    planned: Sequence[PlannedScene],
    answer_wavs: dict[str, Path],
    maker: SceneMaker,
    seed: int,
    nj: int,
    part: Part = WHOLE,
) -> dict[str, int]:
    """Compose and write one set, or compose a part of it; returns the number of scenes by kind."""
    planned = sorted(planned, key=lambda one: one.id)
    rows = list(compose(folder, planned, maker, seed, nj, part))
    if part.alone:
        _write_tables(folder, planned, rows, answer_wavs)
    return dict(Counter(one.kind for one in planned))


def _write_tables(
    folder: Path, planned: Sequence[PlannedScene], rows: Sequence[dict[str, Any]], answer_wavs: dict[str, Path]
) -> None:
    write_jsonl(folder / "scene", (row["scene"] for row in rows))  # first: by it a rerun knows the folder as its own
    answered = {one.id: one for one in planned if one.question is not None}
    write_table(folder / "wav.scp", {one.id: (folder / "wav" / f"{one.id}.wav").resolve() for one in planned})
    write_table(folder / "text", {one.id: "" if one.kind == "noise" else one.recording.text for one in planned})
    write_speakers(folder, {one.id: one.recording.speaker for one in planned})
    write_table(folder / "states", {row["id"]: row["states"] for row in rows})
    write_table(folder / "utt2num_samples", {row["id"]: row["samples"] for row in rows})
    write_table(folder / "answer", {key: one.answer for key, one in answered.items()})
    write_table(folder / "utt2question", {key: one.question.id for key, one in answered.items()})
    write_questions(folder / "questions.jsonl", {one.question.id: one.question for one in answered.values()}.values())
    later = {one.id: json.dumps(one.history, ensure_ascii=False) for one in planned if one.history}
    spoken = {key: answer_wavs[one.answer] for key, one in answered.items() if one.answer in answer_wavs}
    played = {row["id"]: played_wav(folder, row["id"]).resolve() for row in rows if row["played"]}
    write_reference(folder, played)
    for name, table in (("history", later), ("answer_wav.scp", spoken), ("played.scp", played)):
        (folder / name).unlink(missing_ok=True)  # of an earlier run with other settings; training would read it
        if table:
            write_table(folder / name, table)


def make_dialogues(
    config: DialogueConfig,
    data: Path,
    output: Path,
    ask: Ask,
    folders: TtsFolders,
    nj: int,
    misheard: Misheard | None = None,
    part: Part = WHOLE,
    until: Step = "scenes",
) -> None:
    """Write `output`/<set>/; ask: gives the answers; misheard: the judge. until: the last step that is done.

    part: speaks and composes its share; `ask` and `misheard` do theirs. Raises LeftToOthers where the next step needs
    what other jobs make. Raises TableError, TtsError, and what `ask` raises, before long work.
    """
    for name in config.sets:
        _refuse_others(output / name)
    spoken = text_styler(config.text_style)
    answers = {one.question: answer for one, answer in ask(_first_questions(config, data)).items()}
    plans, draws = {}, {}
    for number, (name, one) in enumerate(config.sets.items()):
        draws[name] = random.Random(1000 * config.seed + number)
        plans[name] = plan_set(one, data, answers, draws[name], spoken)
    for name, one in config.sets.items():
        plans[name] += later_rounds(one, data, plans[name], ask, draws[name], spoken)
    rejection = config.rejection
    if rejection and rejection.questions:
        plans = _without_misheard(plans, misheard, output / "judged/questions")
    if until == "answers":
        return
    maker = SceneMaker(config.scene)
    texts = {one.answer for name, own in config.sets.items() if own.speak_answers for one in plans[name]} - {""}
    jobs = [Job(text, text, Voice.parse(config.voice)) for text in sorted(texts)]
    synthesize(part.of(jobs), folders, nj)
    answer_wavs = spoken_paths(jobs, folders)
    if not all(map(Path.exists, answer_wavs.values())):
        raise LeftToOthers("spoken answers")
    if until == "speech":
        return
    if part.alone or (rejection and rejection.answers):
        answer_wavs = _at_rate(answer_wavs, maker.rates.output_hz, output / "answer_wav")
    if rejection and rejection.answers and answer_wavs:
        by_id = {path.stem: text for text, path in answer_wavs.items()}
        wavs = {path.stem: path for path in answer_wavs.values()}
        for key in misheard(output / "judged/answers", wavs, by_id):
            del answer_wavs[by_id[key]]
    if until == "judged":
        return
    for name, planned in plans.items():
        counts = write_dialogues(output / name, planned, answer_wavs, maker, config.seed, nj, part)
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        later = sum(bool(one.history and one.question) for one in planned)
        print(f"{output / name}: {said}" + (f"; {later} in later rounds" if later else ""), flush=True)
    for name in plans if part.alone else ():
        forget_shards(output / name)


def _refuse_others(folder: Path) -> None:
    """Raises TableError if a data directory in `folder` is none of stage 4: its tables would be overwritten."""
    if (folder / "wav.scp").exists() and not (folder / "scene").exists():
        raise TableError(f"{folder}: holds a data directory that stage 4 has not made; give another --output")


def _first_questions(config: DialogueConfig, data: Path) -> list[Asked]:
    """First questions of all sets that are spoken; if stage 1 has asked some of a folder, only those."""
    wanted: dict[str, list[str]] = {}
    for one in config.sets.values():
        if one.qa:
            questions = read_questions(data / one.qa / "questions.jsonl")
            spoken = set(read_table(data / one.speech / "text").values())
            answered = data / one.qa / "answers.jsonl"
            asked = {row["id"] for _, row in read_jsonl(answered)} if answered.exists() else None
            for q in questions:
                if q.question in spoken and (not asked or q.id in asked):
                    wanted.setdefault(q.question, []).append(q.id)
    return [Asked(question, ids=tuple(dict.fromkeys(ids))) for question, ids in wanted.items()]


def _without_misheard(
    plans: Mapping[str, Sequence[PlannedScene]], misheard: Misheard, folder: Path
) -> dict[str, list[PlannedScene]]:
    """The plans without the questions whose recording the judge does not hear as it was written."""
    takes = {one.recording.id: one.recording for planned in plans.values() for one in planned if one.question}
    gone = misheard(folder, {key: take.audio for key, take in takes.items()}, {k: t.text for k, t in takes.items()})
    return {
        name: [one for one in planned if one.question is None or one.recording.id not in gone]
        for name, planned in plans.items()
    }


def _at_rate(wavs: Mapping[str, Path], hz: int, folder: Path) -> dict[str, Path]:
    """The same speech at `hz`; speech at another rate is resampled into `folder`."""
    found = dict(wavs)
    for text, path in wavs.items():
        if read_header(path).rate_hz != hz:
            found[text] = (folder / path.name).resolve()
            if not found[text].exists():
                write_wav(found[text], read_audio(str(path), hz)[0], hz)
    return found
