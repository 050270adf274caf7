"""Outputs of other systems: the output is found or asked for, never the reference; ids are matched, never guessed."""

from __future__ import annotations

import csv
import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from freeze_omni.bin import evaluate
from freeze_omni.config import ConfigError
from freeze_omni.data.audio import write_wav
from freeze_omni.data.tables import TableError
from freeze_omni.eval.fields import LAYOUTS, LIKELY, OUTPUT, UNSURE, by_known_ids, chosen
from freeze_omni.eval.outputs import match_texts, read_numbers, read_sounds, read_texts

KNOWN = ["a-0", "a-1"]
RIGHT = ["what it said", "and then this"]
GOLD = ["the reference", "of the test set"]
REFERENCES = (
    *("text", "answer", "answers", "transcript", "transcription", "reference", "ref", "target", "target_text", "label"),
    *("gold", "gt", "ground_truth", "expected", "official_answer", "sentence", "wrd", "targetValue", "raw_text"),
)


def write_rows(path: Path, rows: list[dict]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1))
    else:
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            table.writeheader()
            table.writerows(rows)
    return path


def rows_of(**columns: list) -> list[dict]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv"])
def test_beside_a_reference_the_output_is_scored_or_asked_for(suffix: str, memory_path: Path) -> None:
    """All names of outputs and references, in both orders, in every form of file."""
    wrong, asked = [], 0
    for number, (output, gold) in enumerate(product((*OUTPUT, *LIKELY, *UNSURE, "my_system"), REFERENCES)):
        if output == gold:
            continue
        columns = {"id": KNOWN, output: RIGHT, gold: GOLD}
        rows = [dict(list(row.items())[:: (-1) ** number]) for row in rows_of(**columns)]
        path = write_rows(memory_path / f"x{suffix}", rows)
        try:
            found = read_texts(path, KNOWN)
        except TableError as error:
            asked += 1
            assert "--field output=NAME" in str(error) and output not in OUTPUT
            found = read_texts(path, KNOWN, chosen(None, [f"output={output}"]))
        if found != dict(zip(KNOWN, RIGHT, strict=True)):
            wrong.append((output, gold))
    assert not wrong and asked


@pytest.mark.parametrize("name", (*OUTPUT, *LIKELY, *UNSURE))
def test_an_output_alone_needs_no_name(name: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "x.jsonl", rows_of(id=KNOWN, question=["?", "?"], **{name: RIGHT}))
    assert list(read_texts(path, KNOWN).values()) == RIGHT


def layout_files(folder: Path) -> dict[str, Path]:
    """One file of each layout, with the reference beside the output where the system writes it."""
    folder.mkdir()
    sounds = [f"/their/wavs/{key}.wav" for key in KNOWN]
    files = {
        "llama_omni": rows_of(question_id=KNOWN, prediction=RIGHT, prediction_units=["1", "2"], answer=GOLD),
        "nemo": rows_of(audio_filepath=sounds, duration=[1.0, 2.0], text=GOLD, pred_text=RIGHT),
        "openaudiobench": rows_of(
            Questions=["?", "?"], Answer=GOLD, audio_filename=["0.mp3", "1.mp3"], infer_response=RIGHT
        ),
        "uro_bench": [{key: text} for key, text in zip(KNOWN, RIGHT, strict=True)],
        "voicebench": rows_of(prompt=["?", "?"], reference=GOLD, response=RIGHT),
    }
    paths = {name: write_rows(folder / f"{name}.jsonl", rows) for name, rows in files.items()}
    paths["sclite"] = folder / "hyp"
    paths["sclite"].write_text("".join(f"{text} ({key})\n" for key, text in zip(KNOWN, RIGHT, strict=True)))
    for name in ("kaldi", "versa"):
        paths[name] = folder / f"{name}.txt"
        paths[name].write_text("".join(f"{key} {text}\n" for key, text in zip(KNOWN, RIGHT, strict=True)))
    return paths


@pytest.mark.parametrize("name", LAYOUTS)
def test_known_layouts(name: str, tmp_path: Path) -> None:
    """By name, and by what is in them, unless they hold no ids."""
    path = layout_files(tmp_path / "theirs")[name]
    wanted = dict(zip(KNOWN, RIGHT, strict=True))
    assert read_texts(path, KNOWN, chosen(name, [])) == wanted
    if name in ("openaudiobench", "voicebench"):
        with pytest.raises(TableError, match="id=row|none of its ids|id"):
            match_texts(dict.fromkeys(KNOWN, ""), read_texts(path, KNOWN), path, path.with_name("no"))
    elif name == "sclite":
        assert read_texts(path.rename(path.with_suffix(".trn")), KNOWN) == wanted
    else:
        assert read_texts(path, KNOWN) == wanted


def test_ids_of_espnets_trn_have_the_speaker_before_them(tmp_path: Path) -> None:
    (tmp_path / "ref.trn").write_text("the reference (spk-a-0)\n(spk-a-1)\n")
    (tmp_path / "hyp.trn").write_text("what it (really) said (spk-a-0)\n(spk-a-1)\n")
    assert read_texts(tmp_path, KNOWN) == {"a-0": "what it (really) said", "a-1": ""}
    (tmp_path / "hyp.trn").write_text("a-0 words in the other form\n")
    with pytest.raises(TableError, match=r"hyp.trn:1: expected `words \(id\)`"):
        read_texts(tmp_path, KNOWN)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "empty|no row"),
        ([{"id": "a-0", "prediction": "x", "response": "y"}], "prediction, response may each be the output"),
        ([{"id": "a-0", "response": "x", "result": "y"}], "any of id, response, result may be the output"),
        ([{"id": "a-0", "text": "x", "answers": ["y"]}], "any of id, text, answers may be the output"),
        ([{"audio_filepath": "a-0.wav", "duration": 1, "text": "x"}], "any of audio_filepath, duration, text may be"),
        ([{"id": "a-0", "prediction": "x"}, {"id": "a-1"}], r":2: no field 'prediction'; correct the row"),
        ([{"id": "a-0", "prediction": ["x"]}], "the output is no text"),
        ([{"id": "a-0", "prediction": "x"}] * 2, r":2: the id a-0 comes twice"),
        ([{"prediction": "x"}], "no field is known as the id .*--field id=NAME, or id=row"),
        ([{"id": "a-0", "question_id": "a-1", "prediction": "x"}], "id or question_id may be the id"),
        ([{"question": "?", "answers": ["y"], "id": "a-0"}], "any of question, answers, id may be the output"),
    ],
)
def test_rows_that_are_unclear_are_refused_in_one_line(rows: list[dict], message: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "x.jsonl", rows)
    with pytest.raises(TableError, match=message) as error:
        read_texts(path, KNOWN)
    assert "\n" not in str(error.value)


def test_null_is_no_output_and_told_as_missing(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "x.jsonl", rows_of(id=KNOWN, prediction=[None, ""]))
    references = dict(zip(KNOWN, GOLD, strict=True))
    found = read_texts(path, KNOWN)
    assert found == {"a-1": ""}
    (note,) = match_texts(references, found, path, path.with_name("text"))
    assert "1 of 2 are missing, as a-0: counted as empty" in note


def test_the_fields_are_named_as_options() -> None:
    assert chosen("nemo", ["output=best", "id=key"]) == chosen(None, ["id=key", "output=best"])
    for word in ("best", "output=", "text=best"):
        with pytest.raises(ConfigError, match=f"--field {word}: expected output=NAME or id=NAME"):
            chosen(None, [word])


def test_rows_in_the_order_of_the_test_set(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "x.jsonl", rows_of(response=RIGHT))
    assert read_texts(path, KNOWN, chosen(None, ["id=row"])) == dict(zip(KNOWN, RIGHT, strict=True))
    with pytest.raises(TableError, match="2 rows, but 3 in the test set"):
        read_texts(path, [*KNOWN, "a-2"], chosen(None, ["id=row"]))


@pytest.mark.parametrize("known", [["0", "1", "2"], ["0000", "0001", "0002"], ["web-00000", "web-00001", "web-00002"]])
@pytest.mark.parametrize("given", [["0", "1", "2"], ["000", "001", "002"], ["0", "2"]])
def test_ids_that_count_are_numbers_in_all_suites(known: list[str], given: list[str]) -> None:
    found = by_known_ids({key: int(key) for key in given}, known, Path("x"))
    assert found == {known[int(key)]: int(key) for key in given}


@pytest.mark.parametrize(
    "given", [["1", "2", "3"], ["0001", "0002"], ["0", "1", "3"], ["1", "01", "0"], ["1", "2", "x"]]
)
def test_ids_that_count_from_elsewhere_are_refused(given: list[str]) -> None:
    with pytest.raises(TableError, match="its ids count from . to ., the test set's from 0 to 2|are the same number"):
        by_known_ids(dict.fromkeys(given, ""), ["0000", "0001", "0002"], Path("x"))


@pytest.mark.parametrize(
    ("sounds", "given", "meant"),
    [
        (["q7", "q8", "q9"], ["q8", "q9"], ["0001", "0002"]),
        (["1", "2", "3"], ["1", "2", "3"], ["0000", "0001", "0002"]),  # no other column has a 3
        (["0", "1", "2"], ["00", "2"], ["0000", "0002"]),
        (["2", "1", "0"], ["0", "1"], None),  # numbers of items or names of sounds: another item each
        (["2", "1", "0"], ["0000", "0001"], ["0000", "0001"]),
        (["a", "a", "b"], ["a", "b"], ["a", "b"]),  # names no item: left as they are
    ],
)
def test_other_names_of_the_items_are_ids_too_if_they_are_clear(sounds, given, meant) -> None:
    known, found = ["0000", "0001", "0002"], dict.fromkeys(given, "")
    if meant is None:
        with pytest.raises(TableError, match="its ids may be numbers of items, or names .*; write them as 0000"):
            by_known_ids(found, known, Path("x"), [sounds])
    else:
        assert list(by_known_ids(found, known, Path("x"), [sounds])) == meant


def test_ids_that_are_names_stay(tmp_path: Path) -> None:
    for known, given in ((KNOWN, ["a-0", "0"]), (["7", "9"], ["7", "8"]), (["web-00000"], ["llama-0000"])):
        assert list(by_known_ids(dict.fromkeys(given, ""), known, tmp_path)) == given


def test_a_folder_with_two_files_of_texts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a-0 x\n")
    write_rows(tmp_path / "pred.jsonl", rows_of(id=KNOWN, prediction=RIGHT))
    with pytest.raises(TableError, match=r"several files of texts in it \(text, pred.jsonl\); name one"):
        read_texts(tmp_path)
    (tmp_path / "decode.json").write_text("{}")  # ours: the records beside the texts are not theirs
    assert read_texts(tmp_path) == {"a-0": "x"}


def test_the_test_set_itself_is_no_output(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "text").write_text("".join(f"{key} {text}\n" for key, text in zip(KNOWN, GOLD, strict=True)))
    for outputs in (data, data / "text"):
        with pytest.raises(SystemExit, match="these are the reference texts of the test set; correct --outputs"):
            evaluate.main(["asr", "--data", str(data), "--outputs", str(outputs), "--output", str(tmp_path / "out")])
    (tmp_path / "copy").write_text((data / "text").read_text())
    texts = dict(zip(KNOWN, GOLD, strict=True))
    assert (
        "letter for letter" in match_texts(texts, read_texts(tmp_path / "copy"), tmp_path / "copy", data / "text")[-1]
    )


@pytest.mark.parametrize("content", ["a-0\tthe reference\twhat it said\n", "a-0 x\n\na-1 y\n", "a-0 x\na-0 y\n"])
def test_tables_that_are_none_of_outputs(content: str, tmp_path: Path) -> None:
    (tmp_path / "hyp").write_text(content)
    with pytest.raises(TableError, match="three columns|empty line|comes twice"):
        read_texts(tmp_path / "hyp", KNOWN)
    with pytest.raises(TableError, match="no named fields"):
        read_texts(tmp_path / "hyp", KNOWN, chosen(None, ["output=x"]))
    with pytest.raises(TableError, match="no such file or folder; correct --outputs"):
        read_texts(tmp_path / "nothing", KNOWN)


def test_questions_with_the_reference_beside_the_answer(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The command: LLaMA-Omni's file is scored by its predictions, and a file of the LLM's with other fields."""
    rows = [{"qId": f"w{n}", "qText": "who?", "answers": ["Ann"]} for n in range(2)]
    (tmp_path / "webq.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    theirs = write_rows(
        tmp_path / "x.jsonl", rows_of(question_id=["w0", "w1"], prediction=["Bob", "Ann"], answer=["Ann"] * 2)
    )
    llm = write_rows(tmp_path / "y.jsonl", rows_of(key=["w0", "w1"], mine=["Ann", "Ann"], text=["no", "no"]))
    words = [
        "qa",
        "--data",
        tmp_path / "webq.json",
        "--outputs",
        theirs,
        "--text_outputs",
        llm,
        "--output",
        tmp_path / "o",
    ]
    with pytest.raises(SystemExit, match="y.jsonl: any of key, mine, text may be .* --text_field output=NAME"):
        evaluate.main(list(map(str, words)))
    evaluate.main([*map(str, words), "--text_field", "output=mine"])
    out = capsys.readouterr().out
    assert "| spoken | 50.0" in out and "| its LLM on text | 100.0" in out


def test_sounds_are_one_for_each_id(tmp_path: Path) -> None:
    write_wav(tmp_path / "one/a-0.WAV", np.zeros(160, np.float32), 16000)
    assert list(read_sounds(tmp_path / "one", KNOWN)) == ["a-0"]
    write_wav(tmp_path / "one/a-0.flac", np.zeros(160, np.float32), 16000)
    with pytest.raises(TableError, match="two sounds of a-0, a-0.WAV and a-0.flac; remove one"):
        read_sounds(tmp_path / "one", KNOWN)
    write_wav(tmp_path / "tasks/turn/1/output.wav", np.zeros(160, np.float32), 16000)
    assert list(read_sounds(tmp_path / "tasks")) == ["turn/1"]
    with pytest.raises(TableError, match="no such file or folder"):
        read_sounds(tmp_path / "nothing")


@pytest.mark.parametrize("value", ["x", "nan", "inf", "1 -inf"])
def test_seconds_are_finite_numbers(value: str, tmp_path: Path) -> None:
    (tmp_path / "takes").write_text(f"a 1\nb {value}\n")
    with pytest.raises(TableError, match="takes:2: expected `<id> <seconds> ...`"):
        read_numbers(tmp_path / "takes")
