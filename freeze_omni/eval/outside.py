"""Test sets that nobody here made: published questions, with sound or to be spoken, and recordings of people.

Each becomes a data directory whose sounds stay where they are. A question that is in the training texts is left out,
and said; so is a voice of the training sets refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from freeze_omni.config import ConfigError
from freeze_omni.data.audio import AudioError, read_header
from freeze_omni.data.kaldi_dir import Source, write_set
from freeze_omni.data.questions import Question, published_sounds, read_published, read_questions, write_questions
from freeze_omni.data.tables import TableError, read_dir, read_table, write_jsonl
from freeze_omni.data.tts.backends import Voice
from freeze_omni.data.tts.synthesize import Job, TtsFolders, synthesize
from freeze_omni.eval.config import OutsideConfig
from freeze_omni.eval.sets import Outside, read_histories, read_jsonl
from freeze_omni.eval.wer import english

_QUESTIONS = "questions.jsonl"


@dataclass
class Training:
    """What a model may have learnt: normalised texts, and voices that it heard; each with a data directory that has
    it."""

    texts: dict[str, Path] = field(default_factory=dict)
    voices: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def read(cls, folders: Sequence[Path], speaking: Sequence[Path] = ()) -> Training:
        """Texts, answers, earlier rounds, questions and speakers of data directories; `speaking`: of speech output,
        whose voice no part that listens has heard. Raises TableError."""
        found, raw = cls(), {}
        for folder in (*folders, *speaking):
            raw |= {text: folder for text in _texts_of(folder)}
        for folder in folders:
            found.voices |= dict.fromkeys(read_table(folder / "utt2spk").values(), folder)
        found.texts = {english(text): folder for text, folder in raw.items()}
        return found

    def holding(self, questions: Iterable[Question]) -> dict[str, Path]:
        """Questions, by id, whose normalised words are in a training text, one after the other; and where."""
        everything = "\n".join(f" {text} " for text in self.texts)
        found = {}
        for question in questions:
            words = f" {english(question.question)} "
            if words.strip() and words in everything:
                found[question.id] = next(folder for text, folder in self.texts.items() if words in f" {text} ")
        return found


def _texts_of(folder: Path) -> Iterable[str]:
    for name in ("text", "answer"):
        if name == "text" or (folder / name).is_file():
            yield from read_table(folder / name, need_value=False).values()
    for rounds in read_histories(folder).values():
        for said in rounds:
            yield from said
    if (folder / _QUESTIONS).is_file():
        yield from (row["question"] for row in read_jsonl(folder / _QUESTIONS).values() if "question" in row)


@dataclass
class _Given:
    """What a path holds. wavs: {} if the questions are to be spoken. questions: [] if nothing is asked."""

    sound: str
    texts: dict[str, str]
    wavs: Mapping[str, object]
    speakers: Mapping[str, str]
    questions: Sequence[Question]


def prepare(name: str, path: Path, folder: Path, config: OutsideConfig, training: Training, nj: int = 1) -> Source:
    """Write the data directory `folder` of one set; returns what it is. Prints a warning for each question left out.

    path: a Kaldi directory (with questions.jsonl if they are to be answered), or published questions, next to which
    lie the sounds that they name. Raises TableError, ConfigError, TtsError.
    """
    given = _kaldi(path) if (path / "wav.scp").is_file() else _published(path, config)
    held = training.holding(given.questions)
    for one in given.questions:
        if one.id in held:
            print(f"warning: {name}: {one.id} '{one.question}' is in {held[one.id]}; left out of the test set")
    questions, texts = [one for one in given.questions if one.id not in held], given.texts
    if given.questions:
        texts = {one.id: one.question for one in questions}
    if not texts:
        raise TableError(f"{path}: all of its questions are in the training texts; train on others")
    wavs, speakers = given.wavs, given.speakers
    if not wavs:
        wavs, speakers = _spoken(questions, config.voice, training, nj)
    write_set(folder, {key: wavs[key] for key in texts}, texts, {key: speakers.get(key, name) for key in texts})
    (folder / _QUESTIONS).unlink(missing_ok=True)  # of an earlier run
    if questions:
        write_questions(folder / _QUESTIONS, questions)
    write_jsonl(folder / Outside.FILE, [asdict(Outside(given.sound, config.tail_s, tuple(held)))])
    voices = {speakers[key] for key in texts if key in speakers}
    minutes = sum(_seconds(str(wavs[key])) for key in texts) / 60
    return Source(name, given.sound, len(voices), len(texts), round(minutes, 2))


def _kaldi(path: Path) -> _Given:
    wavs, segments, texts, speakers = read_dir(path)
    if segments:
        raise TableError(f"{path}: has segments; cut them first (python -m freeze_omni.bin.format_wav_scp)")
    asked = read_questions(path / _QUESTIONS) if (path / _QUESTIONS).is_file() else []
    return _Given("recordings", texts, wavs, speakers, [one for one in asked if one.id in wavs])


def _published(path: Path, config: OutsideConfig) -> _Given:
    """The first questions, and the sounds that the table names. Raises TableError if one is missing."""
    questions = [one for one in read_published(path) if one.answers][: config.questions]
    if not questions:
        raise TableError(f"{path}: no question in it has an answer")
    names, folder = published_sounds(path), path if path.is_dir() else path.parent
    if not names:
        return _Given(f"spoken by {config.voice}", {}, {}, {}, questions)
    for one in questions:
        if not (folder / names.get(one.id, "")).is_file():
            raise TableError(f"{path}: {one.id} has no sound {names.get(one.id, '')!r} in {folder}; put it there")
    wavs = {one.id: (folder / names[one.id]).resolve() for one in questions}
    return _Given("published recordings", {}, wavs, {}, questions)


def _spoken(
    questions: Sequence[Question], name: str, training: Training, nj: int
) -> tuple[dict[str, Path], Mapping[str, str]]:
    """Sounds of questions by a voice of no training set, and their speaker. Raises ConfigError, TtsError."""
    voice = Voice.parse(name)
    if voice.speaker in training.voices:
        where = training.voices[voice.speaker]
        raise ConfigError(f"outside.voice {name} is a voice of {where}; set another one in decode.yaml")
    wavs = synthesize([Job(one.id, one.question, voice) for one in questions], TtsFolders(), nj)
    return wavs, dict.fromkeys(wavs, voice.speaker)


def _seconds(wav: str) -> float:
    try:
        header = read_header(wav)
    except AudioError as error:
        raise TableError(f"{wav}: {error}; these sets need plain sound files") from None
    return header.samples / header.rate_hz
