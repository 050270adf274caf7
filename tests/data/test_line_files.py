"""Line files end their lines at a line feed alone, and may come from Windows: every reader, one content."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from freeze_omni.data.checked_table import CheckedTable
from freeze_omni.data.corpora.aishell import read_transcripts
from freeze_omni.data.corpora.aishell3 import Aishell3
from freeze_omni.data.corpora.an4 import An4
from freeze_omni.data.corpora.commonvoice import read_tsv
from freeze_omni.data.corpora.json_dialogue import JsonDialogue
from freeze_omni.data.corpora.librispeech import LibriSpeech
from freeze_omni.data.corpora.libritts import LibriTts
from freeze_omni.data.corpora.ljspeech import LjSpeech
from freeze_omni.data.corpora.moss_003_sft import Moss003Sft
from freeze_omni.data.corpora.prepare import PrepareOptions, prepare_corpus
from freeze_omni.data.corpora.vctk import Vctk
from freeze_omni.data.corpora.wenetspeech import WenetSpeech
from freeze_omni.data.datadir import validate
from freeze_omni.data.kaldi_dir import read_sources
from freeze_omni.data.questions import read_published
from freeze_omni.data.tables import TableError, each_line, read_jsonl, read_lines, read_segments, read_table
from freeze_omni.dialogues import answers
from freeze_omni.dialogues.plan import read_dialogues
from freeze_omni.eval.outputs import read_texts
from freeze_omni.eval.runner import read_records
from freeze_omni.eval.sets import read_histories
from freeze_omni.session.log import FORMAT, read_log

PACKAGE = Path(__file__).parents[2] / "freeze_omni"
TEXT = "one\u2028two\u2029three\x85four\x0bfive\x0csix\x1cseven"  # str.splitlines() cuts at each of these
FOLDERS = ("freeze_omni", "egs", "utils", "benchmarks")


def row(**fields: object) -> str:
    return json.dumps(fields, ensure_ascii=False)


QUESTION = row(id="q", question=TEXT, answers=[TEXT], kind="k", phrasing="p", fact="f")
DIALOGUE = row(id="d", conversation_id=1, rounds=[{"user": TEXT}], conversation=[{"human": TEXT, "assistant": "Yes."}])
SEGMENT = {"sid": "a", "begin_time": 0, "end_time": 1, "text": TEXT, "confidence": 1.0, "subsets": ["S"]}
AUDIO = row(aid="r", path="r.opus", segments=[SEGMENT])
ALPACA = row(id="a", instruction=TEXT, output="Yes.")


def first(items) -> str:
    """The text of the first item of a corpus."""
    item = next(iter(items))
    return item.rounds[0][0] if hasattr(item, "rounds") else item.text


# name -> file, its lines, and what reads the text from the folder
READERS: dict[str, tuple[str, list[str], Callable[[Path], str]]] = {
    "lines": ("x", [TEXT], lambda d: read_lines(d / "x")[0]),
    "table": ("text", [f"a {TEXT}"], lambda d: read_table(d / "text")["a"]),
    "checked table": ("text", [f"a {TEXT}"], lambda d: CheckedTable(d / "text", []).item(0)[1]),
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
    "json dialogue in .json": ("x.json", [ALPACA], lambda d: qa(JsonDialogue(d, held_out=0.0))),
    "wenetspeech": ("x", [AUDIO], lambda d: first(wenet(d).read("x", str(d / "x")))),
    "speakers": ("x", [f"a {TEXT}"], lambda d: dict(line.split(" ", 1) for line in each_line(d / "x"))["a"]),
    "published in .json": ("x.json", [QUESTION], lambda d: read_published(d / "x.json")[0].question),
    "rows in .csv": ("x.csv", ["id,pred", f"a,{TEXT}"], lambda d: read_texts(d / "x.csv", ["a"])["a"]),
    "rows in .tsv": ("x.tsv", ["id\tpred", f"a\t{TEXT}"], lambda d: read_texts(d / "x.tsv", ["a"])["a"]),
    "outputs": ("hyp", [f"a {TEXT}"], lambda d: read_texts(d)["a"]),
    "outputs in JSON": ("x.jsonl", [row(id="a", pred=TEXT)], lambda d: read_texts(d, ["a"])["a"]),
    "outputs in trn": ("hyp.trn", [f"{TEXT} (a)"], lambda d: read_texts(d, ["a"])["a"]),
    "outputs by name": ("a.txt", [TEXT], lambda d: read_texts(d, ["a"])["a"]),
    "records": ("records.jsonl", [row(id="a", text=TEXT)], lambda d: read_records(d / "records.jsonl")["a"]["text"]),
    "history": (
        "history",
        [f"a {json.dumps([[TEXT, 'Yes.']], ensure_ascii=False)}"],
        lambda d: read_histories(d)["a"][0][0],
    ),
    "session log": (
        "x.jsonl",
        [row(format=FORMAT), row(do="write", actions=[TEXT])],
        lambda d: next(read_log(d / "x.jsonl")[1])["actions"][0],
    ),
}


def libri(corpus, folder: Path) -> str:
    (folder / "train-clean-100/1/2/a.wav").touch()
    return first(corpus(folder).read("train_clean_100", "train-clean-100/1/2")).rstrip("\r\n")


def vctk(folder: Path) -> str:
    (folder / "wav48/p1").mkdir(parents=True)
    (folder / "wav48/p1/a.wav").touch()
    return first(Vctk(folder, held_out=0).read("tr_no_dev", "p1")).rstrip("\r\n")


def wenet(folder: Path) -> WenetSpeech:
    (folder / "WenetSpeech.json").touch()
    return WenetSpeech(folder)


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


def mode_of(call: ast.Call) -> str:
    """The mode of a call of `open`, `Path.open`, `gzip.open`, ...; "" if none is given."""
    words = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    texts = [word.value for word in words if isinstance(word, ast.Constant) and isinstance(word.value, str)]
    return next((text for text in texts if re.fullmatch(r"[rwaxbt+]+", text)), "")


OTHERS = (
    *("splitlines", "readlines", "read_2columns_text", "csv.reader", "csv.DictReader", "json.load", "np.loadtxt"),
    *("np.genfromtxt", "fileinput.input", "linecache.getlines", "pd.read_csv"),
)


def reads_lines_otherwise(call: ast.Call) -> bool:
    """Whether a call cuts lines at other places than `each_line`: splitlines, a file opened as text, csv, ESPnet's."""
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    name = call.func.attr if owner is not None else getattr(call.func, "id", "")
    if name == "open":
        mode, options = mode_of(call), {keyword.arg: getattr(keyword.value, "value", 0) for keyword in call.keywords}
        a_file = owner is None or mode or "encoding" in options  # and not, say, router.open()
        return bool(a_file) and not set(mode) & set("bwax") and options.get("newline") != "\n"
    if name == "split" and isinstance(owner, ast.Call) and getattr(owner.func, "attr", "") == "read_text":
        return getattr(call.args[0], "value", "") == "\n" if call.args else False
    return name in OTHERS or f"{getattr(owner, 'id', '')}.{name}" in OTHERS


def found_in(source: str) -> list[int]:
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [call.lineno for call in calls if reads_lines_otherwise(call)]


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("text.splitlines()", True),
        ("for line in open(path): pass", True),
        ("open(path, encoding='utf-8', newline='')", True),
        ("path.open(encoding='utf-8')", True),
        ("gzip.open(path, 'rt')", True),
        ("file.readlines()", True),
        ("path.read_text().split('\\n')", True),
        ("csv.DictReader(file)", True),
        ("json.load(file)", True),
        ("read_2columns_text(path)", True),
        ("open(path, 'rb')", False),
        ("open(path, 'a', encoding='utf-8')", False),
        ("gzip.open(path, 'rt', newline='\\n')", False),
        ("router.open()", False),
        ("line.split('\\t')", False),
        ("json.loads(line)", False),
    ],
)
def test_the_rule_itself(line: str, refused: bool) -> None:
    assert bool(found_in(line)) is refused


def test_lines_are_cut_in_one_place() -> None:
    """`data/tables.py` and, for quoted cells, `data/rows.py`: nothing else in the toolkit reads lines its own way."""
    root = PACKAGE.parent
    files = [file for folder in FOLDERS for file in sorted((root / folder).rglob("*.py"))]
    assert len(files) > 150
    allowed = (PACKAGE / "data/tables.py", PACKAGE / "data/rows.py")
    for path in files:
        lines = found_in(path.read_text(encoding="utf-8")) if path not in allowed else []
        assert not lines, f"{path}:{lines[0]}: use freeze_omni.data.tables.each_line, read_jsonl or data.rows"


def test_dialogues_with_every_line_end_are_prepared_and_read(tmp_path: Path) -> None:
    """Stage 1 of JSON dialogues, as an array in .json and as lines in .json: what it writes is valid and whole."""
    rows = [{"id": f"d{n}", "instruction": f"{TEXT} {n}", "output": "Yes."} for n in range(3)]
    forms = {"array": json.dumps(rows), "lines": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)}
    for form, content in forms.items():
        root, data = tmp_path / f"{form}.json", tmp_path / form
        root.write_text(content, encoding="utf-8")
        prepare_corpus("json_dialogue", JsonDialogue(root, held_out=0.0), data, PrepareOptions(("qa_train",), nj=1))
        assert validate(data / "qa_train", "qa") == []
        found = read_dialogues(data / "qa_train/dialogues.jsonl")
        assert [one["rounds"][0]["user"].split() for one in found] == [row["instruction"].split() for row in rows]
