"""Every item that a corpus had is kept or in `skipped` with its reason; and what is not ours stays as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freeze_omni.bin import prepare_corpus
from freeze_omni.data.audio import write_wav
from freeze_omni.data.corpora.aishell import Aishell
from freeze_omni.data.corpora.base import Corpus, Skipped
from freeze_omni.data.corpora.gigaspeech import GigaSpeech
from freeze_omni.data.corpora.librispeech import LibriSpeech
from freeze_omni.data.corpora.libritts import LibriTts
from freeze_omni.data.corpora.vctk import Vctk
from freeze_omni.data.datadir import validate
from freeze_omni.data.tables import read_jsonl, read_lines, read_table
from tests.commands import exit_code
from tests.data.conftest import tone

PAIR = {"instruction": "What is it?", "output": "That."}


def prepare(name: str, root: Path, data: Path, *options: str) -> int:
    return exit_code(prepare_corpus.main, [name, "--root", str(root), "--data", str(data), "--nj", "1", *options])


def counts(folder: Path, table: str) -> tuple[int, list[str]]:
    """How many are kept, and the reasons of the others."""
    return len(read_lines(folder / table)), [line.split("\t")[1] for line in read_lines(folder / "skipped")]


def all_of(corpus: Corpus, name: str, part: str) -> tuple[list[str], list[str]]:
    """Ids that a reader gives, and its reasons."""
    items = list(corpus.read(name, part))
    skipped = [item for item in items if isinstance(item, Skipped)]
    return [item.id for item in items if not isinstance(item, Skipped)], [item.reason for item in skipped]


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


ROWS = [
    *[{**PAIR, "id": key} for key in (0, 1, "", None, "x" * 252, "../../a", "-rf", "a,b", "a,c", "(ü)")],
    *["text", 7, None, [], [PAIR], {}, {"instruction": ["a"], "output": "b"}, {"instruction": "a", "output": None}],
    *[{"conversations": value} for value in (["a"], [None], {"a": 1}, [])],
    *[{"messages": [{"role": "user", "content": ["part"]}]}, {"prompt": {"replies": [1]}}, {"prompt": {"replies": 3}}],
    *[{**PAIR, "history": value} for value in (3, ["a"], [["a"]], [[1, 2]], [["Hi.", "Hello."]])],
    {"instruction": "One\ud800", "output": "Two"},
]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".lines.json"])
def test_every_dialogue_of_a_json_file(tmp_path: Path, suffix: str) -> None:
    """A .json file may hold an array or, whatever its name says, JSON lines."""
    lines = [json.dumps(row) for row in ROWS]
    text = f"[{',\n'.join(lines)}]" if suffix == ".json" else "\n".join(lines)
    if suffix != ".json":
        text = "\ufeff" + json.dumps({**PAIR, "id": "first"}) + "\n" + text + "\nno JSON at all\n" + "[" * 100_000
    path = tmp_path / f"d{suffix}"
    path.write_text(text, encoding="utf-8")
    options = ("--held_out", "0", "--sets", "qa_train", "--most_skipped", "1")
    assert prepare("json_dialogue", path, tmp_path / "data", *options) == 0
    kept, reasons = counts(tmp_path / "data/qa_train", "dialogues.jsonl")
    assert kept == (10 if suffix == ".json" else 11)
    assert kept + len(reasons) == len(text.split("\n"))
    assert {"none of the known forms of a dialogue", "a character that is no Unicode"} <= set(reasons)
    assert "the id is longer than 200 bytes" in reasons
    assert validate(tmp_path / "data/qa_train", role="qa") == []


def test_one_broken_conversation_does_not_hide_the_others(tmp_path: Path) -> None:
    turns = [{"speaker": "USER", "text": "I want tea."}, {"speaker": "ASSISTANT", "text": "Which?"}]
    rows = [{"conversation_id": f"d{number}", "utterances": turns} for number in range(6)]
    rows[1:1] = [
        {"conversation_id": "broken"},
        "text",
        {"utterances": turns},
        {"conversation_id": "x", "utterances": [1]},
    ]
    (tmp_path / "TM-2-2020").mkdir()
    (tmp_path / "TM-2-2020" / "all.json").write_text(json.dumps(rows))
    options = ("--held_out", "0", "--most_skipped", "0.5", "--sets", "qa_train")
    assert prepare("taskmaster", tmp_path, tmp_path / "data", *options) == 0
    kept, reasons = counts(tmp_path / "data/qa_train", "dialogues.jsonl")
    assert (kept, len(reasons)) == (6, 4)
    good = {"conversation_id": 1, "conversation": [{"human": "What?", "assistant": "That."}] * 2}
    bad = [{"conversation_id": 2, "conversation": ["a"]}, {"conversation_id": 3, "chat": {"turn_x": 1}}, [1], 5]
    lines = [json.dumps(row) for row in (good, *bad, {**good, "conversation_id": 4})]
    (tmp_path / "moss.jsonl").write_text("\n".join(lines))
    options = ("--held_out", "0", "--most_skipped", "0.9", "--sets", "qa_train")
    assert prepare("moss_003_sft", tmp_path / "moss.jsonl", tmp_path / "moss", *options) == 0
    assert counts(tmp_path / "moss/qa_train", "dialogues.jsonl") == (2, ["not a dialogue in JSON"] * 4)


def test_every_row_of_a_hugging_face_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids that come twice, ids that are too long, and texts that look like numbers or missing values."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    root = tmp_path / "set"
    write_wav(root / "a.wav", tone(0.3), 16000)
    rows = ["fs1,one,1", "fs1,007,1", "fs1,NA,2", "fs2,null,2", "007,,2", f"{'x' * 252},long,2", '-rf,"a ""b"", c",']
    (root / "metadata.csv").write_text(
        "\ufefffile_name,id,text,speaker_id\r\n" + "".join(f"a.wav,{row}\r\n" for row in rows), newline=""
    )
    assert prepare("from_hf", root, tmp_path / "data", "--most_skipped", "0.5") == 0
    texts = read_table(tmp_path / "data/train/text")
    assert texts == {
        **{"1-fs1-00000000": "one", "1-fs1-00000001": "007", "2-fs1": "NA", "2-fs2": "null"},
        "train-rf": 'a "b", c',
    }
    kept, reasons = counts(tmp_path / "data/train", "text")
    assert kept + len(reasons) == len(rows)
    assert sorted(reasons) == ["an empty transcript", "the id is longer than 200 bytes"]
    (root / "metadata.jsonl").write_text("{}\n")
    assert prepare("from_hf", root, tmp_path / "data2") == 1


def test_every_sound_and_every_text_of_a_reader(tmp_path: Path) -> None:
    root = tmp_path / "aishell"
    touch(*(root / "wav/train/S0002" / f"BAC009S0002W012{number}.wav" for number in (2, 3)))
    (root / "transcript").mkdir()
    lines = "BAC009S0002W0122 一\nBAC009S0002W0124 二\nBAC009S0003W0124 三\n"
    (root / "transcript/aishell_transcript_v0.8.txt").write_text(lines)
    found = all_of(Aishell(root), "train", "wav/train/S0002")
    assert found == (["BAC009S0002W0122"], ["no transcript for the audio", "no audio for the transcript"])

    root = tmp_path / "librispeech"
    touch(*(root / "train-clean-100/1/2" / f"1-2-000{number}.flac" for number in range(3)))
    found = all_of(LibriSpeech(root), "train_clean_100", "train-clean-100/1/2")
    assert found == ([], ["no transcript for the audio"] * 3)

    root = tmp_path / "libritts"
    names = ("a.wav", "b.wav", "b.normalized.txt", "c.normalized.txt", "d.wav")
    touch(*(root / "train-clean-100/1/2" / name for name in names))
    (root / "train-clean-100/1/2/d.normalized.txt").write_bytes(b"\xff\xfe")
    keys, reasons = all_of(LibriTts(root), "train_clean_100", "train-clean-100/1/2")
    assert keys == ["b"] and len(reasons) == 3 and "the text is not UTF-8" in reasons

    root = tmp_path / "vctk"
    touch(root / "txt/p1/a.txt", root / "txt/p1/c.txt", root / "txt/p3/z.txt")
    (root / "txt/p1/b.txt").write_bytes(b"\xff")
    touch(*(root / "wav48" / name for name in ("p1/a.wav", "p1/b.wav", "p2/x.wav", "p2/y.wav")))
    corpus = Vctk(root, held_out=0)
    assert corpus.sets(tmp_path)["tr_no_dev"] == ["p1", "p2", "p3"]
    assert all_of(corpus, "tr_no_dev", "p1") == (["a"], ["the text is not UTF-8", "no audio for the text"])
    assert all_of(corpus, "tr_no_dev", "p2") == ([], ["no text for the audio"] * 2)
    assert all_of(corpus, "tr_no_dev", "p3") == ([], ["no audio for the text"])

    root = tmp_path / "giga"
    whole = {"sid": "s1", "begin_time": 0, "end_time": 1, "text_tn": "YES", "subsets": ["{XL}"]}
    segments = [
        whole,
        *({**whole, name: None} for name in whole if name not in ("sid", "subsets")),
        {"subsets": ["{XL}"]},
    ]
    touch(root / "GigaSpeech.json")
    content = {"audios": [{"aid": "a", "path": "a.opus", "segments": segments}]}
    (root / "GigaSpeech.json").write_text(json.dumps(content))
    corpus = GigaSpeech(root)
    (part,) = corpus.sets(tmp_path / "work")["train_xl"]
    assert all_of(corpus, "train_xl", part) == (["s1"], ["not a segment as published"] * 4)


def dialogue_file(tmp_path: Path) -> Path:
    (tmp_path / "d.jsonl").write_text(json.dumps({**PAIR, "id": "a"}) + "\n")
    return tmp_path / "d.jsonl"


def test_tables_that_were_not_prepared_here_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    options = ("--held_out", "0", "--sets", "qa_train")
    mine = tmp_path / "data/qa_train/questions.jsonl"
    touch(mine)
    mine.write_text("mine")
    assert prepare("json_dialogue", dialogue_file(tmp_path), tmp_path / "data", *options) == 1
    assert "its questions.jsonl was not prepared here" in capsys.readouterr().err and mine.read_text() == "mine"
    mine.rename(tmp_path / "data/qa_train/notes.txt")
    for text in ("Why?", "How?"):  # ours are replaced
        (tmp_path / "d.jsonl").write_text(json.dumps({**PAIR, "id": "a", "instruction": text}) + "\n")
        assert prepare("json_dialogue", tmp_path / "d.jsonl", tmp_path / "data", *options) == 0
        assert next(read_jsonl(mine))[1]["question"] == text
    assert (tmp_path / "data/qa_train/notes.txt").read_text() == "mine"


def test_a_foreign_working_folder_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    touch(tmp_path / "data/.json_dialogue/mine")
    assert prepare("json_dialogue", dialogue_file(tmp_path), tmp_path / "data", "--held_out", "0") == 1
    assert "holds files of something else" in capsys.readouterr().err
    assert (tmp_path / "data/.json_dialogue/mine").exists()
