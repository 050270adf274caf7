"""Readers of written dialogues on miniatures of their published files, and what is spoken of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freeze_omni.bin import prepare_corpus, speak_dialogues
from freeze_omni.data.corpora.json_files import byte_ranges, read_rows
from freeze_omni.data.corpora.sgd import alternate
from freeze_omni.data.corpora.speakable import unspeakable
from freeze_omni.data.datadir import validate
from freeze_omni.data.tables import read_table
from tests.commands import exit_code
from tests.data.corpora import dialogue_miniatures as miniatures


def prepare(name: str, root: Path, data: Path, *options: str) -> int:
    return exit_code(prepare_corpus.main, [name, "--root", str(root), "--data", str(data), "--nj", "1", *options])


def dialogues(folder: Path) -> dict[str, list[tuple[str, str]]]:
    rows = [json.loads(line) for line in (folder / "dialogues.jsonl").read_text(encoding="utf-8").splitlines()]
    return {row["id"]: [(one["user"], one["assistant"]) for one in row["rounds"]] for row in rows}


def test_moss_is_cut_into_sets_and_its_marks_are_gone(tmp_path):
    root = miniatures.moss(tmp_path / "moss")
    assert prepare("moss_003_sft", root, tmp_path / "data", "--held_out", "0.1") == 0
    sets = {name: dialogues(tmp_path / "data" / name) for name in ("qa_train", "qa_dev", "qa_test")}
    ids = [key for found in sets.values() for key in found]
    assert len(ids) == len(set(ids)) == 60 and all(sets.values())
    assert sets["qa_train"]["moss-writing-0"] == [
        ("What day is it?", "It is number 0. I hope it helps."),
        ("Where is the station?", "It is number 0. I hope it helps."),
    ]
    for name in sets:
        assert validate(tmp_path / "data" / name, role="qa") == []


def test_a_share_of_moss_is_a_part_of_the_whole(tmp_path):
    root, found = miniatures.moss(tmp_path / "moss"), {}
    for share in ("1.0", "0.5"):
        options = ("--held_out", "0", "--share", share, "--sets", "qa_train")
        assert prepare("moss_003_sft", root, tmp_path / share, *options) == 0
        found[share] = set(dialogues(tmp_path / share / "qa_train"))
    assert len(found["1.0"]) == 60 and 15 < len(found["0.5"]) < 45 and found["0.5"] < found["1.0"]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (miniatures.sharegpt, {"sharegpt-a1": [("Hello?", "Good day.")]}),  # ends before the address
        (miniatures.oasst, {"2023-04-12_oasst_ready-t1": [("Which colour?", "Blue.")]}),
    ],
)
def test_forms_of_json(make, expected, tmp_path):
    assert prepare("json_dialogue", make(tmp_path), tmp_path / "data", "--held_out", "0", "--sets", "qa_train") == 0
    assert dialogues(tmp_path / "data" / "qa_train") == expected


def test_an_unknown_form_and_a_cut_file_are_told(tmp_path, capsys):
    (tmp_path / "a.json").write_text('[{"question": "What?"}]')
    assert prepare("json_dialogue", tmp_path / "a.json", tmp_path / "data", "--held_out", "0") == 1
    assert "1 none of the known forms of a dialogue" in capsys.readouterr().err
    (tmp_path / "a.json").write_text('[{"instruction": "What?", "output": "That."}, {"instr')
    assert prepare("json_dialogue", tmp_path / "a.json", tmp_path / "data", "--held_out", "0") == 1
    assert "the file is cut" in capsys.readouterr().err


def test_task_dialogues_keep_their_sets(tmp_path):
    assert prepare("sgd", miniatures.sgd(tmp_path / "sgd"), tmp_path / "data") == 0
    assert dialogues(tmp_path / "data/qa_dev")["sgd-dev-1_00000"] == [
        ("Find me a table for two.", "In which city?"),
        ("In San Jose.", "There is one at seven."),
    ]
    assert prepare("taskmaster", miniatures.taskmaster(tmp_path / "tm"), tmp_path / "tm_data") == 0
    assert dialogues(tmp_path / "tm_data/qa_test") == {
        "tm-dlg-2": [("I want a pizza.", "Which size?"), ("Large.", "Done.")]
    }


def test_alternate_passes_over_an_opening_and_an_unanswered_end():
    turns = [("SYSTEM", "Hi."), ("USER", "a"), ("SYSTEM", "b"), ("SYSTEM", "c"), ("USER", "d")]
    assert alternate(turns, "USER") == [("a", "b c")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("What is this?", None),
        ("今天天气怎么样？", None),
        ("...", "no words"),
        ("One\ntwo", "several lines"),
        ("Explain f(x) = {1, 2}", "code"),
        ("Read www.example.org", "an address"),
        ("word " * 11, "longer than 10 words"),
        ("一" * 11, "longer than 10 words"),
    ],
)
def test_unspeakable(text, why):
    assert unspeakable(text, 10) == why


def test_byte_ranges_read_every_line_once(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"n": n, "text": "ä" * (n % 7)}) + "\n" for n in range(50)))
    for size in (1, 13, 64, 10_000):
        read = [row["n"] for part in byte_ranges(path, size) for _, row in read_rows(path, part)]
        assert read == list(range(50)), size


def test_dialogues_are_spoken_in_turn_and_kept(toy_program, tmp_path, monkeypatch):
    monkeypatch.setenv("FREEZE_OMNI_CACHE", str(tmp_path / "cache"))
    root = miniatures.moss(tmp_path / "moss", count=9)
    assert prepare("moss_003_sft", root, tmp_path / "data", "--held_out", "0", "--sets", "qa_train") == 0
    options = ["--data", str(tmp_path / "data"), "--sets", "train", "--program", toy_program, "--nj", "1"]
    options += ["--voices", "program:a,program:b", "--voice", "program:c", "--dialogues", "3", "--rounds", "2"]
    assert exit_code(speak_dialogues.main, [*options, "--sentences", "4"]) == 0
    texts, speakers = (read_table(tmp_path / "data/asr_train" / name) for name in ("text", "utt2spk"))
    assert len(texts) == 6 and set(speakers.values()) == {"program_a", "program_b"}
    assert texts["program_a-moss-writing-0-0"] == "What day is it?"
    assert len(read_table(tmp_path / "data/tts_train/text")) == 4
    for role in ("asr", "tts"):
        assert validate(tmp_path / "data" / f"{role}_train", role=role) == []
    assert exit_code(speak_dialogues.main, ["--data", str(tmp_path / "none")]) == 1
