"""Suites: items, answers, the interface of a suite, and the suites of single questions, answered in text or sound."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from freeze_omni.data.audio import AudioError, AudioHeader, read_audio, read_header, write_wav
from freeze_omni.data.corpora.from_hf import FromHf, load
from freeze_omni.data.ids import check_ids
from freeze_omni.data.rows import read_csv
from freeze_omni.data.tables import TableError, read_table, write_jsonl, write_table
from freeze_omni.eval.sets import json_lines


class SuiteError(ValueError):
    """Inputs or outputs that are not in a suite's form: names the file, the line and the fix."""


@dataclass(frozen=True)
class Item:
    """One test: sound to be answered, its text if known, and the fields that the suite expects back.

    dialogue: its name, if this is a round of one; rounds follow each other.
    """

    id: str
    sound: str
    text: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    dialogue: str = ""


@dataclass(frozen=True)
class Answer:
    """What a system said: text, and a sound file (ours: 24 kHz wav); "" for none."""

    text: str
    sound: str = ""


class Suite(Protocol):
    """One suite. IN_TIME: whether the answer's sound runs in time with the input. TEXT_ALONE: it takes no sound."""

    IN_TIME: bool = False
    TEXT_ALONE: bool = False

    def subsets(self, data: Path) -> dict[str, Path]:
        """Of `--all`: folder of answers -> subset, for each subset of what the suite publishes. Raises SuiteError."""

    def read(self, data: Path, work: Path) -> list[Item]:
        """The tests of a published subset; `work` is for sound that is stored inside tables."""

    def write(self, folder: Path, items: Sequence[Item], answers: Mapping[str, Answer], name: str) -> None:
        """Write what the suite's scorer reads. name: of the system."""

    def check(self, folder: Path, items: Sequence[Item]) -> None:
        """Raise SuiteError if the suite's scorer cannot read `folder`."""


def subset_folders(data: Path, pattern: str) -> dict[str, Path]:
    """The folders below data that hold a file of the pattern, by their path. Raises SuiteError for none."""
    found = {str(path.parent.relative_to(data)): path.parent for path in sorted(data.glob(pattern))}
    if not found:
        raise SuiteError(f"{data}: no {pattern} in it; give the folder of all subsets, or leave out --all")
    return found


def one_set(data: Path) -> dict[str, Path]:
    """Raises SuiteError: this suite has no subsets."""
    raise SuiteError(f"{data}: this suite is one set; leave out --all")


def read_lines(path: Path, needed: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Objects of a .jsonl file that all have the needed keys. Raises SuiteError with the line."""
    for where, row in json_lines(path, SuiteError, "correct --data"):
        if missing := [key for key in needed if key not in row]:
            raise SuiteError(f"{where}: no '{missing[0]}'")
        yield row


def read_answers(path: Path, items: Sequence[Item], needed: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The rows of a file of answers. Raises SuiteError unless there is one for every item."""
    rows = list(read_lines(path, needed))
    if len(rows) != len(items):
        raise SuiteError(f"{path}: {len(rows)} answers to {len(items)} questions")
    return rows


def only_file(folder: Path, pattern: str) -> Path:
    """Raises SuiteError unless the folder has exactly one such file."""
    files = sorted(folder.glob(pattern))
    if len(files) != 1:
        raise SuiteError(f"{folder}: {len(files)} files {pattern} in it, not one")
    return files[0]


def copy_sounds(folder: Path, answers: Mapping[str, Answer], prefix: str = "") -> None:
    """Copy the answers with sound to folder/<prefix><id>.wav."""
    check_ids(answers, folder)
    folder.mkdir(parents=True, exist_ok=True)
    for key, answer in answers.items():
        if answer.sound:
            copy_sound(answer.sound, folder / f"{prefix}{key}.wav")


def copy_sound(source: str, target: Path) -> None:
    """A .wav as it is, and any other entry of a wav.scp as one. Raises AudioError."""
    if Path(source).suffix == ".wav" and Path(source).is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    else:
        write_wav(target, *read_audio(source))


def check_wav(path: Path) -> AudioHeader:
    """The header of a whole mono sound file. Raises SuiteError."""
    try:
        header = read_header(path)
    except AudioError as error:
        raise SuiteError(f"{path}: {error}") from None
    if header.channels != 1:
        raise SuiteError(f"{path}: {header.channels} channels, not one")
    return header


class VoiceBench(Suite):
    """Reads rows of its data set with `audio` and `prompt`; writes a .jsonl of them with `response`."""

    TEXT_ALONE = True
    WITH_REFERENCE = ("sd-qa", "openbookqa", "mmsu", "bbh")
    RANKED = ("alpacaeval_full", "commoneval", "wildvoice", *WITH_REFERENCE, "ifeval", "advbench")

    def subsets(self, data: Path) -> dict[str, Path]:
        """Folders saved by the datasets library, or those of its leaderboard of a hub name."""
        if data.is_dir():
            saved = ("*/dataset_dict.json", "*/dataset_info.json")
            return subset_folders(data, saved[0] if list(data.glob(saved[0])) else saved[1])
        return {name: Path(f"{data}@{name}") for name in self.RANKED}

    def read(self, data: Path, work: Path) -> list[Item]:
        """A subset: a folder saved by the datasets library, or <hub name>@<subset>; its split `test`, or all splits."""
        root, _, subset = str(data).partition("@")
        corpus = FromHf(Path(root), config=subset, text="prompt", audio_dir=work / "sound")
        splits = load(corpus)
        splits = {"test": splits["test"]} if "test" in splits else splits
        items = []
        for name, rows in splits.items():
            for number, row in enumerate(rows):
                sound = corpus.sound_of(row["audio"], name, f"{number:05d}")
                fields = {key: value for key, value in row.items() if key != "audio"}
                if sound is None:
                    raise SuiteError(f"{data}, {name}, row {number}: no sound")
                key = f"{number:05d}" if len(splits) == 1 else f"{name}/{number:05d}"
                items.append(Item(key, sound, row["prompt"], fields))
        return items

    @staticmethod
    def splits(items: Sequence[Item]) -> dict[str, list[Item]]:
        """The items of each file. Sets without splits have one, `test`."""
        found: dict[str, list[Item]] = {}
        for item in items:
            found.setdefault(item.id.rpartition("/")[0] or "test", []).append(item)
        return found

    def write(self, folder: Path, items: Sequence[Item], answers: Mapping[str, Answer], name: str) -> None:
        for split, some in self.splits(items).items():
            rows = ({**item.fields, "response": answers[item.id].text} for item in some)
            write_jsonl(folder / f"{name}-{folder.name}-{split}-audio.jsonl", rows)

    def check(self, folder: Path, items: Sequence[Item]) -> None:
        needed = ["prompt", "response", *(["reference"] if folder.name in self.WITH_REFERENCE else [])]
        for split, some in self.splits(items).items():
            path = only_file(folder, f"*-{split}-audio.jsonl")
            for number, row in enumerate(read_answers(path, some, needed), start=1):
                if not isinstance(row["response"], str) or "audio" in row:
                    raise SuiteError(f"{path}:{number}: `response` must be a text, and `audio` left out")


class UroBench(Suite):
    """Reads test.jsonl. Of single rounds writes audio/%04d.wav and TEXTS, each line {"0000": text}; of dialogues
    <id>/chat_<round>.wav and DIALOGUES, the lines of test.jsonl with `output_text` in each round."""

    TEXTS = ("pred_text.jsonl", "question_text.jsonl", "gt_text.jsonl")
    DIALOGUES = "output_with_text.jsonl"

    def subsets(self, data: Path) -> dict[str, Path]:
        """As its evaluate.py has them: basic/<set>, pro/<set>."""
        return subset_folders(data, "*/*/test.jsonl")

    def read(self, data: Path, work: Path) -> list[Item]:
        """The test.jsonl of a set; its sounds are next to it."""
        path = data / "test.jsonl" if data.is_dir() else data
        items = []
        for number, row in enumerate(read_lines(path)):
            try:
                if "dialogue" not in row:
                    items.append(self._item(path, f"{number:04d}", row, row))
                for turn in row.get("dialogue", []):
                    items.append(self._item(path, f"{row['id']}/chat_{turn['round']}", turn, row, str(row["id"])))
            except (KeyError, TypeError) as error:
                raise SuiteError(f"{path}:{number + 1}: no {error}; fetch it again") from None
        return items

    @staticmethod
    def _item(path: Path, key: str, turn: Mapping[str, Any], row: Mapping[str, Any], dialogue: str = "") -> Item:
        return Item(key, str(path.parent / turn["source_wav"]), turn.get("source_text", ""), row, dialogue)

    def write(self, folder: Path, items: Sequence[Item], answers: Mapping[str, Answer], name: str) -> None:
        if items and items[0].dialogue:
            return self._write_dialogues(folder, items, answers)
        copy_sounds(folder / "audio", answers)
        targets = {item.id: item.fields.get("target_text", item.text) for item in items}
        targets = {key: " / ".join(one) if isinstance(one, list) else one for key, one in targets.items()}
        texts = {item.id: (answers[item.id].text, item.text, targets[item.id]) for item in items}
        for column, file in enumerate(self.TEXTS):
            write_jsonl(folder / file, ({key: row[column]} for key, row in texts.items()))

    def _write_dialogues(self, folder: Path, items: Sequence[Item], answers: Mapping[str, Answer]) -> None:
        for item in items:
            if answers[item.id].sound:
                copy_sound(answers[item.id].sound, folder / f"{item.id}.wav")
        rows = []
        for row in {item.dialogue: item.fields for item in items}.values():
            said = [answers[f"{row['id']}/chat_{turn['round']}"].text for turn in row["dialogue"]]
            turns = [{**turn, "output_text": text} for turn, text in zip(row["dialogue"], said, strict=True)]
            rows.append({**row, "num_round": len(turns), "dialogue": turns})
        write_jsonl(folder / self.DIALOGUES, rows)

    def check(self, folder: Path, items: Sequence[Item]) -> None:
        if items and items[0].dialogue:
            return self._check_dialogues(folder, items)
        for file in self.TEXTS:
            rows = read_answers(folder / file, items)
            for number, (row, item) in enumerate(zip(rows, items, strict=True), start=1):
                if list(row) != [item.id] or not isinstance(row[item.id], str):
                    raise SuiteError(f'{folder / file}:{number}: expected {{"{item.id}": text}}')
        for path in sorted((folder / "audio").glob("*")):
            if path.stem not in {item.id for item in items} or path.suffix != ".wav":
                raise SuiteError(f"{path}: not named by the number of a question, as 0000.wav")
            check_wav(path)

    def _check_dialogues(self, folder: Path, items: Sequence[Item]) -> None:
        said = [
            (f"{row['id']}/chat_{turn['round']}", turn.get("output_text"))
            for row in read_lines(folder / self.DIALOGUES, ("id", "dialogue"))
            for turn in row["dialogue"]
        ]
        if [key for key, text in said if isinstance(text, str)] != [item.id for item in items]:
            raise SuiteError(f"{folder / self.DIALOGUES}: not an `output_text` for each round of each dialogue")
        for item in items:
            if (folder / f"{item.id}.wav").is_file():
                check_wav(folder / f"{item.id}.wav")


class OpenAudioBench(Suite):
    """Reads <subset>/<subset>.csv with audio_filename, and audios/; writes a .jsonl of rows with `infer_response`."""

    TEXT_ALONE = True
    QUESTIONS = ("instruction", "question", "Questions", "prompt")

    def subsets(self, data: Path) -> dict[str, Path]:
        """Its folders: each has the table of its own name."""
        return {key: path for key, path in subset_folders(data, "*/*.csv").items() if (path / f"{key}.csv").is_file()}

    def read(self, data: Path, work: Path) -> list[Item]:
        """The folder of a subset: alpaca_eval, llama_questions, reasoning_qa, trivia_qa or web_questions."""
        path = data / f"{data.name}.csv"
        if not path.is_file():
            raise SuiteError(f"{path}: no such file; give the folder of one subset")
        rows = [row for _, row in read_csv(path)]
        if not rows or "audio_filename" not in rows[0]:
            raise SuiteError(f"{path}: no rows with 'audio_filename'")
        texts = [next((row[name] for name in self.QUESTIONS if row.get(name)), "") for row in rows]
        sounds = [str(data / "audios" / row["audio_filename"]) for row in rows]
        return [Item(f"{n:05d}", *one) for n, one in enumerate(zip(sounds, texts, rows, strict=True))]

    def write(self, folder: Path, items: Sequence[Item], answers: Mapping[str, Answer], name: str) -> None:
        rows = ({**item.fields, "infer_response": answers[item.id].text} for item in items)
        write_jsonl(folder / f"{name}-openaudiobench-{folder.name}.jsonl", rows)

    def check(self, folder: Path, items: Sequence[Item]) -> None:
        read_answers(only_file(folder, "*-openaudiobench-*.jsonl"), items, ("audio_filename", "infer_response"))


class BigBenchAudio(Suite):
    """Reads metadata.jsonl with FIELDS; writes responses.jsonl and audio/response_<id>.wav."""

    FIELDS = ("id", "category", "official_answer", "file_name")

    def subsets(self, data: Path) -> dict[str, Path]:
        return one_set(data)

    def read(self, data: Path, work: Path) -> list[Item]:
        """The folder of the data set."""
        rows = read_lines(data / "metadata.jsonl", self.FIELDS)
        return [Item(str(row["id"]), str(data / row["file_name"]), row.get("transcript", ""), row) for row in rows]

    def write(self, folder: Path, items: Sequence[Item], answers: Mapping[str, Answer], name: str) -> None:
        copy_sounds(folder / "audio", answers, "response_")
        rows = ({**item.fields, "response": answers[item.id].text, "model": name} for item in items)
        write_jsonl(folder / "responses.jsonl", rows)

    def check(self, folder: Path, items: Sequence[Item]) -> None:
        read_answers(folder / "responses.jsonl", items, (*self.FIELDS, "response"))
        for path in sorted((folder / "audio").glob("*.wav")):
            check_wav(path)


class Versa(Suite):
    """Reads a Kaldi directory; writes wav.scp of the answers (`--pred`) and their text (`--text`)."""

    def subsets(self, data: Path) -> dict[str, Path]:
        return one_set(data)

    def read(self, data: Path, work: Path) -> list[Item]:
        texts = read_table(data / "text", need_value=False) if (data / "text").is_file() else {}
        return [Item(key, sound, texts.get(key, "")) for key, sound in read_table(data / "wav.scp").items()]

    def write(self, folder: Path, items: Sequence[Item], answers: Mapping[str, Answer], name: str) -> None:
        spoken = {item.id: answers[item.id] for item in items if answers[item.id].sound}
        write_table(folder / "wav.scp", {key: Path(answer.sound).resolve() for key, answer in spoken.items()})
        if any(answer.text for answer in spoken.values()):  # VERSA reads one line with words for each sound
            write_table(folder / "text", {key: " ".join(answer.text.split()) for key, answer in spoken.items()})
        else:
            (folder / "text").unlink(missing_ok=True)  # of an earlier run

    def check(self, folder: Path, items: Sequence[Item]) -> None:
        try:
            sounds = read_table(folder / "wav.scp")
            texts = read_table(folder / "text") if (folder / "text").is_file() else sounds
        except TableError as error:
            raise SuiteError(str(error)) from None
        if set(sounds) != set(texts) or not set(sounds) <= {item.id for item in items}:
            raise SuiteError(f"{folder}: wav.scp and text have not the same ids, or others than the inputs")
        for sound in sounds.values():
            check_wav(Path(sound))
