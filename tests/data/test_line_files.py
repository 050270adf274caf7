"""Line files end their lines at a line feed alone, and may come from Windows: every reader, one content."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from freeze_omni.data.corpora.aishell import read_transcripts
from freeze_omni.data.corpora.aishell3 import Aishell3
from freeze_omni.data.corpora.an4 import An4
from freeze_omni.data.corpora.commonvoice import read_tsv
from freeze_omni.data.corpora.json_dialogue import JsonDialogue
from freeze_omni.data.corpora.librispeech import LibriSpeech
from freeze_omni.data.corpora.libritts import LibriTts
from freeze_omni.data.corpora.ljspeech import LjSpeech
from freeze_omni.data.corpora.moss_003_sft import Moss003Sft
from freeze_omni.data.corpora.vctk import Vctk
from freeze_omni.data.datadir import read_table as read_checked
from freeze_omni.data.kaldi_dir import read_sources
from freeze_omni.data.questions import read_published
from freeze_omni.data.tables import TableError, read_jsonl, read_lines, read_segments, read_table
from freeze_omni.dialogues import answers
from freeze_omni.dialogues.plan import read_dialogues

PACKAGE = Path(__file__).parents[2] / "freeze_omni"
TEXT = "one\u2028two\u2029three\x85four\x0bfive\x0csix\x1cseven"  # str.splitlines() cuts at each of these
OWN = ("data", "dialogues", "codec", "speech_decoder", "duplex")


def row(**fields: object) -> str:
    return json.dumps(fields, ensure_ascii=False)


QUESTION = row(id="q", question=TEXT, answers=[TEXT], kind="k", phrasing="p", fact="f")
DIALOGUE = row(id="d", conversation_id=1, rounds=[{"user": TEXT}], conversation=[{"human": TEXT, "assistant": "Yes."}])
ALPACA = row(id="a", instruction=TEXT, output="Yes.")


def first(items) -> str:
    """The text of the first item of a corpus."""
    item = next(iter(items))
    return item.rounds[0][0] if hasattr(item, "rounds") else item.text


# name -> file, its lines, and what reads the text from the folder
READERS: dict[str, tuple[str, list[str], Callable[[Path], str]]] = {
    "lines": ("x", [TEXT], lambda d: read_lines(d / "x")[0]),
    "table": ("text", [f"a {TEXT}"], lambda d: read_table(d / "text")["a"]),
    "checked table": ("text", [f"a {TEXT}"], lambda d: read_checked(d / "text", []).values["a"]),
    "segments": ("segments", [f"a {TEXT[:3]} 0 1"], lambda d: read_segments(d / "segments")["a"].recording + TEXT[3:]),
    "JSON lines": ("x.jsonl", [QUESTION], lambda d: next(read_jsonl(d / "x.jsonl"))[1]["question"]),
    "questions": ("questions.jsonl", [QUESTION], lambda d: read_published(d)[0].question),
    "Llama questions": ("x.tsv", [f"{TEXT}\tYes"], lambda d: read_published(d)[0].question),
    "sources": ("x.jsonl", [row(set="a", source=TEXT)], lambda d: read_sources(d / "x.jsonl")[0].source),
    "dialogues": ("x.jsonl", [DIALOGUE], lambda d: read_dialogues(d / "x.jsonl")[0]["rounds"][0]["user"]),
    "answers": (
        "x.jsonl",
        [row(question="q", text=TEXT, ended=True)],
        lambda d: answers._read(d / "x.jsonl")[answers.Asked("q")].text,
    ),
    "aishell": ("x", [f"a {TEXT}"], lambda d: read_transcripts(d / "x")["a"]),
    "aishell3": (
        "train/content.txt",
        [f"SSB00050001.wav\t{TEXT[:3]} yi1"],
        lambda d: first(Aishell3(d).read("train_no_dev", "0:1")) + TEXT[3:],
    ),
    "an4": (
        "etc/an4_train.transcription",
        [f"<s> {TEXT} </s> (an251-fash-b)"],
        lambda d: first(An4(d).read("x", "train 0:1")),
    ),
    "commonvoice": (
        "x.tsv",
        ["client_id\tpath\tsentence", f"a\tb\t{TEXT}"],
        lambda d: read_tsv(d / "x.tsv")[0]["sentence"],
    ),
    "librispeech": ("train-clean-100/1/2/1-2.trans.txt", [f"a {TEXT}"], lambda d: libri(LibriSpeech, d)),
    "libritts": ("train-clean-100/1/2/a.normalized.txt", [TEXT], lambda d: libri(LibriTts, d)),
    "ljspeech": ("metadata.csv", [f"a||{TEXT}"], lambda d: first(LjSpeech(d).read("x", "0:1"))),
    "vctk": ("txt/p1/a.txt", [TEXT], lambda d: vctk(d)),
    "moss": ("x.jsonl", [DIALOGUE], lambda d: qa(Moss003Sft(d, least_rounds=1, held_out=0.0))),
    "json dialogue": ("x.jsonl", [ALPACA], lambda d: qa(JsonDialogue(d, held_out=0.0))),
}


def libri(corpus, folder: Path) -> str:
    (folder / "train-clean-100/1/2/a.wav").touch()
    return first(corpus(folder).read("train_clean_100", "train-clean-100/1/2")).rstrip("\r\n")


def vctk(folder: Path) -> str:
    (folder / "wav48/p1").mkdir(parents=True)
    (folder / "wav48/p1/a.wav").touch()
    return first(Vctk(folder, held_out=0).read("tr_no_dev", "p1")).rstrip("\r\n")


def qa(corpus) -> str:
    (part,) = corpus.sets(Path())["qa_train"]
    return first(corpus.read("qa_train", part))


@pytest.mark.parametrize(("mark", "end"), [("", "\n"), ("\ufeff", "\r\n")], ids=["unix", "windows"])
@pytest.mark.parametrize("name", READERS)
def test_a_text_comes_back_whole(tmp_path: Path, name: str, mark: str, end: str) -> None:
    file, lines, read = READERS[name]
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(mark + "".join(line + end for line in lines), encoding="utf-8", newline="")
    assert read(tmp_path) == TEXT


def test_a_text_file_of_sentences_from_windows(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("\ufeffOne.\r\nTwo\u2028more.\r\nThree.\r\n", encoding="utf-8", newline="")
    script = PACKAGE.parent / "egs/synth/tts1/local/split_text.py"
    subprocess.run([sys.executable, script, tmp_path / "x.txt", "--data", tmp_path, "--held_out", "1"], check=True)
    texts = [read_table(tmp_path / name / "text") for name in ("train", "dev", "test")]
    assert [list(table.values()) for table in texts] == [["One."], ["Two more."], ["Three."]]


def test_a_broken_json_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("{}\n{\n")
    with pytest.raises(TableError, match=r"x.jsonl:2: no JSON object .*; fix or remove the line"):
        list(read_jsonl(tmp_path / "x.jsonl"))


def test_no_file_is_cut_by_splitlines() -> None:
    """`read_lines` is the one reader: no call of `splitlines` is left."""
    for path in (path for name in OWN for path in (PACKAGE / name).rglob("*.py")):
        calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
        lines = [node.lineno for node in calls if getattr(node.func, "attr", "") == "splitlines"]
        assert not lines, f"{path}:{lines[0]}: use freeze_omni.data.tables.read_lines"
