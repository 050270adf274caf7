"""One rule for ids, at every place where ids come in: names are not paths, options or commands."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from freeze_omni.bin.errors import USER_ERRORS
from freeze_omni.config import build
from freeze_omni.data.audio import write_wav
from freeze_omni.data.corpora.base import Dialogue, Utterance
from freeze_omni.data.corpora.shards import Tables, _add
from freeze_omni.data.datadir import validate
from freeze_omni.data.datadir_fix import fix
from freeze_omni.data.ids import LONGEST_BYTES, check_ids, id_fault
from freeze_omni.data.kaldi_dir import read_set, write_set
from freeze_omni.data.prepare import PrepareConfig, prepare_dir
from freeze_omni.data.questions import read_questions
from freeze_omni.data.tables import read_table
from freeze_omni.dialogues.plan import DialogueConfig, read_dialogues
from freeze_omni.eval.sets import first_keys
from tests.data.conftest import tone
from tests.shell.bash import UTILS, run

BAD = {
    "": "empty",
    "../../escaped": "slash",
    "/etc/passwd": "slash",
    "a/b": "slash",
    "a\\b": "slash",
    "..": "begins with .",
    ".hidden": "begins with .",
    "-rf": "begins with -",
    "--help": "begins with -",
    "a b": "blank",
    "a\u3000b": "blank",
    "a\nb": "blank",
    "a\x00b": "unprintable",
    "a\u202eb": "unprintable",
    "\ufeffa": "unprintable",
    "a\ud800": "unprintable",
    "x" * (LONGEST_BYTES + 1): "longer than 200 bytes",
    "x" * 252: "longer than 200 bytes",
    "語" * 67: "longer than 200 bytes",
}
GOOD = [
    "a",
    "_",
    "0",
    "file",
    "nul",
    "ann-u01",
    "sp0.9-ann",
    "a|",
    "a;b$(c)",
    "x" * LONGEST_BYTES,
    "語" * 66,
    "é",
    "#1",
]
IN_A_TABLE = [key for key in BAD if key.split() == [key] and key.isprintable()]


@pytest.mark.parametrize("key", BAD, ids=ascii)
def test_what_no_id_can_be(key: str) -> None:
    assert BAD[key] in str(id_fault(key))


@pytest.mark.parametrize("key", GOOD, ids=ascii)
def test_what_an_id_can_be(key: str, tmp_path: Path) -> None:
    assert id_fault(key) is None
    (tmp_path / f".{key}-01234567.wav.1234567").touch()  # the longest name that we make


def data_dir(folder: Path, key: str = "u1", speaker: str = "spk") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_wav(folder.parent / "u.wav", tone(1.0), 16000)
    for name, value in {"wav.scp": f"{folder.parent}/u.wav", "text": "words", "utt2spk": speaker}.items():
        (folder / name).write_text("".join(f"{k} {value}\n" for k in sorted([key, "v1"])))
    return folder


# name -> reads an id from outside, or makes files of it
PLACES: dict[str, Callable[[str, Path], object]] = {
    "stage 2": lambda key, d: prepare_dir(data_dir(d / "in", key), d / "out/a/b", PrepareConfig(pad_s=(0.1, 0.1))),
    "stage 2, speaker": lambda key, d: prepare_dir(data_dir(d / "in", "u1", key), d / "out/a/b", PrepareConfig()),
    "read_set": lambda key, d: read_set(data_dir(d / "in", key)),
    "write_set": lambda key, d: write_set(d / "out", {key: "x.wav"}, {key: "words"}, {key: "spk"}),
    "write_set, speaker": lambda key, d: write_set(d / "out", {"u": "x.wav"}, {"u": "words"}, {"u": key}),
    "questions": lambda key, d: read_back(d, read_questions, QUESTION | {"id": key}),
    "dialogues": lambda key, d: read_back(d, read_dialogues, {"id": key, "rounds": [{"user": "Hi."}]}),
    "sets of stage 4": lambda key, d: build(DialogueConfig, {"sets": {key: {"speech": "asr"}}}),
    "decoding": lambda key, d: first_keys({key: "x.wav"}, 1),
}
QUESTION = {"question": "Why?", "answers": ["So."], "kind": "k", "phrasing": "p", "fact": "f"}


def read_back(folder: Path, read: Callable[[Path], object], row: dict[str, object]) -> object:
    (folder / "x.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    return read(folder / "x.jsonl")


@pytest.mark.parametrize("key", IN_A_TABLE, ids=ascii)
@pytest.mark.parametrize("place", PLACES)
def test_a_bad_id_is_refused_before_anything_is_written(tmp_path: Path, place: str, key: str) -> None:
    with pytest.raises(USER_ERRORS, match=BAD[key].replace(".", r"\.")):
        PLACES[place](key, tmp_path)
    written = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert written <= {"u.wav", "wav.scp", "text", "utt2spk", "x.jsonl"} and not (tmp_path / "out").exists()


@pytest.mark.parametrize("key", IN_A_TABLE, ids=ascii)
@pytest.mark.parametrize("as_speaker", [False, True])
def test_validate_names_it_and_fix_leaves_it_out_with_its_reason(tmp_path: Path, key: str, as_speaker: bool) -> None:
    data = data_dir(tmp_path / "in", "u1" if as_speaker else key)
    if as_speaker:
        (data / "utt2spk").write_text(f"u1 {key}\nv1 spk\n")
    assert any(BAD[key] in str(problem) for problem in validate(data))
    kept, before, reasons = fix(data)
    assert kept == 1 and list(read_table(data / "text")) == ["v1"]
    assert BAD[key] in (data / "skipped").read_text() and reasons
    assert validate(data, role="asr") == []


@pytest.mark.parametrize("key", BAD, ids=ascii)
def test_stage_1_skips_it_with_its_reason(key: str) -> None:
    for item in (
        Utterance(key, "spk", "words", "/x.wav"),
        Utterance("u", key, "words", "/x.wav"),
        Utterance("u", "spk", "words", "/x.wav", key or "-", 0.0, 1.0),
        Dialogue(key, (("Hi.", "Hello."),), "k"),
    ):
        tables = Tables()
        _add(tables, item, {}, lower=False, check_audio=False)
        assert not tables.kept and tables.lines.keys() == {"skipped"} and len(tables.reasons) == 1
        "".join(tables.lines["skipped"]).encode()


@pytest.mark.parametrize(
    "audio", ["rm -rf ~ |", "/x.wav|", "/x.wav\nu2 false |", "/x.ark:17", " /x.wav", "/x\u2028.wav", "/x\udcff.wav"]
)
def test_the_name_of_a_sound_is_no_command(audio: str) -> None:
    tables = Tables()
    _add(tables, Utterance("u", "spk", "words", audio), {}, lower=False, check_audio=False)
    assert not tables.kept and "name of the audio file" in next(iter(tables.reasons))
    "".join(tables.lines["skipped"]).encode()


@pytest.mark.parametrize("option", ["--utt-prefix", "--utt-suffix", "--spk-prefix", "--spk-suffix"])
@pytest.mark.parametrize("value", ["../", "a b", "a\\tb"])
def test_copied_ids_follow_the_rule(tmp_path: Path, option: str, value: str) -> None:
    result = run(UTILS / "copy_data_dir.sh", option, value, data_dir(tmp_path / "in"), tmp_path / "out")
    assert result.returncode == 1 and "cannot stand in an id" in result.stderr and not (tmp_path / "out").exists()


def test_the_error_names_the_fix() -> None:
    with pytest.raises(
        ValueError, match=r"^data/x: '\.\./a': a slash in the id.*; rename it, or run utils/fix_data_dir"
    ):
        check_ids(["b", "../a"], "data/x")
    assert shutil.which(UTILS / "fix_data_dir.sh")
