"""What `validate` finds in broken data directories, with file and line, and how fast."""

import json
import time

import pytest

from freeze_omni.data.datadir import validate
from freeze_omni.data.datadir_fix import fix
from freeze_omni.data.tables import TableError, read_segments
from tests.shell.bash import ids, make_data_dir


@pytest.fixture
def data(tmp_path):
    return make_data_dir(tmp_path / "data")


def edit(path, line, new):
    """Replace a line (counted from 1); None removes it."""
    lines = path.read_text().splitlines()
    lines[line - 1 : line] = [] if new is None else [new]
    path.write_text("\n".join(lines) + "\n")


def found(folder, **options):
    return [str(problem).removeprefix(f"{folder}/") for problem in validate(folder, **options)]


def test_a_whole_directory_has_no_problem(data):
    assert found(data, role="asr") == []


@pytest.mark.parametrize(
    ("name", "line", "new", "problem"),
    [
        ("text", 2, "s0-u2", "text:2: s0-u2 has no transcript"),
        ("text", 2, "s0-u2 a\u0007b", "text:2: s0-u2 has the unprintable character U+0007"),
        ("text", 2, "s0-u2 a\ufeffb", "text:2: s0-u2 has the unprintable character U+FEFF"),
        ("text", 2, "s0-u2 words\r", "text:2: Windows line end"),
        ("text", 2, "s0-u0 again", "text:2: id s0-u0 was already given in line 1"),
        ("text", 1, "s9 words", "text:2: not sorted: s0-u2 comes after s9"),
        ("text", 2, None, "wav.scp:2: s0-u2 is not in text"),
        ("text", 6, "s1-u9 words", "text:6: s1-u9 is not in wav.scp"),
        ("text", 2, "", "text:2: empty line"),
        ("utt2spk", 3, "s0-u4 s0 s1", "utt2spk:3: s0-u4: wanted one speaker, found 's0 s1'"),
        ("utt2spk", 3, "s0-u4 s1", "spk2utt:1: s0-u4 of speaker s0 is not so in utt2spk"),
        ("spk2utt", 2, None, "utt2spk:4: s1-u1 is not in spk2utt"),
        ("wav.scp", 3, "s0-u4", "wav.scp:3: s0-u4: no file name"),
        ("wav.scp", 3, "s0-u4 /no/x.wav", "wav.scp:3: s0-u4: /no/x.wav: there is no such"),
        ("wav.scp", 3, "s0-u4 /no/x.ark:17", "wav.scp:3: s0-u4: /no/x.ark: there is no such"),
    ],
)
def test_one_mistake_is_named(data, name, line, new, problem):
    edit(data / name, line, new)
    problems = found(data, role="asr")
    assert any(text.startswith(problem) for text in problems), problems


def test_not_utf8_is_named(data):
    (data / "text").write_bytes((data / "text").read_bytes().replace(b"Words", b"W\xf6rds", 1))
    assert "text:1: not UTF-8; convert it with iconv" in found(data)


def test_missing_and_empty_files(data):
    (data / "spk2utt").unlink()
    (data / "text").write_text("")
    problems = found(data, feats=True)
    assert "feats.scp: is missing" in problems
    assert "text: is empty: there is no utterance in it" in problems
    assert "spk2utt: is missing; utils/fix_data_dir.sh makes it" in problems
    assert "no such directory" in str(validate(data / "nowhere")[0])


def test_segments_define_the_utterances(data):
    (data / "segments").write_text("u1 s0-u0 0.0 0.02\nu2 nowhere 0 1\nu3 s0-u0 0.5 0.1\n")
    problems = found(data)
    assert "segments:2: recording nowhere is not in wav.scp" in problems
    assert "segments:3: u3 ends before it starts: from 0.5 s to 0.1 s" in problems
    assert "segments:1: u1 is not in text" in problems


def test_questions(tmp_path):
    good = {"id": "q1", "question": "Why?", "answers": ["So."], "kind": "fact", "phrasing": "p1"}
    lines = [json.dumps(good), "{", json.dumps({**good, "question": ""}), "[]"]
    (tmp_path / "questions.jsonl").write_text("\n".join(lines) + "\n")
    assert [problem.line for problem in validate(tmp_path, role="qa")] == [2, 3, 3, 4]
    (tmp_path / "questions.jsonl").write_text(lines[0] + "\n")
    assert validate(tmp_path, role="qa") == []


def test_fix_makes_missing_speakers_and_keeps_segments_recordings(data):
    (data / "utt2spk").unlink()
    assert fix(data)[0] == 6
    assert ids(data / "utt2spk") == ids(data / "wav.scp")
    for name in ("text", "utt2spk"):
        (data / name).write_text("u1 a\nu2 a\n")
    (data / "segments").write_text("u2 s0-u0 0.01 0.02\nu1 s1-u1 0 0.02\n")
    assert fix(data)[:2] == (2, 2)
    assert ids(data / "segments") == ["u1", "u2"]
    assert ids(data / "wav.scp") == ["s0-u0", "s1-u1"]
    assert found(data) == []


def test_fix_keeps_what_a_windows_editor_saved(data):
    content = (data / "text").read_text().replace("\n", "\r\n")
    (data / "text").write_text("\ufeff" + content, encoding="utf-8", newline="")
    (data / "utt2spk").write_text("".join(f"\ufeff{line}\n" for line in (data / "utt2spk").read_text().splitlines()))
    assert {"text:1: byte-order mark; remove it with dos2unix"} <= set(found(data))
    assert fix(data) == (6, 6, []) and found(data) == [] and not (data / "skipped").exists()


def test_fix_says_why_each_utterance_is_gone(data):
    lines = (data / "text").read_bytes().splitlines(keepends=True)
    lines[0] = b"s0-u0 W\xf6rds\n"
    lines[1] += b"s0-u2 Others.\n"
    lines[2] = b"s0-u4\n"
    (data / "text").write_bytes(b"".join(lines))
    edit(data / "wav.scp", 4, "s1-u1 /no/x.wav")
    edit(data / "utt2spk", 5, None)
    (data / "skipped").write_text("earlier\tof stage 1\n")
    kept, before, reasons = fix(data)
    assert (kept, before) == (2, 6) and ids(data / "text") == ["s0-u2", "s1-u5"]
    skipped = (data / "skipped").read_text().splitlines()
    assert skipped[0] == "earlier\tof stage 1" and len(skipped) == 1 + len(reasons)
    for reason in (
        "text:1\tnot UTF-8; convert it with iconv",
        "text:3\tid s0-u2 was already given in line 2",
        "text:4\ts0-u4 has no transcript",
        "wav.scp:4\ts1-u1: /no/x.wav: there is no such audio file",
        "wav.scp:5\ts1-u3 is not in utt2spk",
    ):
        assert reason in skipped, skipped
    assert fix(data)[2] == [] and len((data / "skipped").read_text().splitlines()) == len(skipped)


@pytest.mark.parametrize(
    ("times", "problem"),
    [
        ("0.01 -1", None),
        ("0 0.02", None),
        ("0.02 0.01", "ends before it starts"),
        ("0.01 -2", "ends before it starts"),
        ("nan 1", "ends before it starts"),
        ("0 inf", "ends before it starts"),
        ("inf -1", "ends before it starts"),
        ("0 0.02 1", "has a channel after the times"),
        ("0", "is not `id recording start end`"),
        ("0 end", "is not `id recording start end`"),
    ],
)
def test_times_of_segments(data, times, problem):
    for name in ("text", "utt2spk"):
        (data / name).write_text("u1 a\n")
    (data / "spk2utt").write_text("a u1\n")
    (data / "segments").write_text(f"u1 s0-u0 {times}\n")
    if problem is None:
        assert found(data) == [] and len(read_segments(data / "segments")) == 1
    else:
        assert any(text.startswith(f"segments:1: u1 {problem}") for text in found(data))
        with pytest.raises(TableError, match=f"segments:1: u1 {problem}.*; fix the line"):
            read_segments(data / "segments")


def test_fix_leaves_a_hopeless_directory_as_it_is(data):
    before = (data / "wav.scp").read_text()
    (data / "text").write_text("other words\n")
    with pytest.raises(ValueError, match="no utterance is usable and in every file"):
        fix(data)
    assert (data / "wav.scp").read_text() == before
    assert (data / "text").read_text() == "other words\n"


def test_two_thousand_utterances_take_a_second(tmp_path):
    folder = make_data_dir(tmp_path / "large", utterances=2000, speakers=4)
    start = time.process_time()
    assert validate(folder, role="asr") == []
    assert time.process_time() - start < 1


def scene_line(key, kind, start_s, end_s):
    return json.dumps({"id": key, "segments": [{"kind": kind, "start_s": start_s, "end_s": end_s}]})


@pytest.fixture
def scenes(data):
    """A dialogue set of six scenes, one with an answer and one without words."""
    keys = ids(data / "wav.scp")
    edit(data / "text", 2, keys[1])
    (data / "states").write_text("".join(f"{key} 0 0 1 -1\n" for key in keys))
    (data / "scene").write_text("".join(scene_line(key, "complete", 0.0, 0.4) + "\n" for key in keys))
    (data / "answer").write_text(f"{keys[0]} Paris.\n")
    (data / "history").write_text(f'{keys[0]} [["Hi.", "Hello."]]\n')
    (data / "utt2question").write_text(f"{keys[0]} q1\n")
    question = {"id": "q1", "question": "What?", "answers": ["Paris"], "kind": "capital", "phrasing": 1}
    (data / "questions.jsonl").write_text(json.dumps(question) + "\n")
    return data


def test_a_whole_dialogue_set_has_no_problem(scenes):
    assert found(scenes, role="dialogue") == []


@pytest.mark.parametrize(
    ("name", "line", "new", "problem"),
    [
        ("states", 2, "s0-u2 0 4", "states:2: s0-u2 has the state '4'"),
        ("states", 1, None, "wav.scp:1: s0-u0 is not in states"),
        ("scene", 1, "{}", "scene:1: no JSON object with id"),
        ("scene", 1, None, "wav.scp:1: s0-u0 is not in scene"),
        ("scene", 1, scene_line("s0-u0", "hm", 0, 1), "scene:1: s0-u0: kind 'hm' is none of"),
        ("scene", 1, scene_line("s0-u0", "side", 2, 1), "scene:1: s0-u0: a segment starts at 2.0 s and ends at 1.0 s"),
        ("answer", 1, "s9-u9 Paris.", "answer:1: s9-u9 is not in wav.scp"),
        ("history", 1, 's0-u0 [["Hi."]]', "history:1: s0-u0 has no JSON list of [user text, answer] pairs"),
        ("history", 1, 's9-u9 [["Hi.", "Hello."]]', "history:1: s9-u9 is not in wav.scp"),
        ("utt2question", 1, "s0-u0 q2", "utt2question:1: s0-u0 asks q2, which is not in questions.jsonl"),
        ("questions.jsonl", 1, "{}", "questions.jsonl:1: 'question' is missing"),
    ],
)
def test_one_mistake_of_a_dialogue_set_is_named(scenes, name, line, new, problem):
    edit(scenes / name, line, new)
    problems = found(scenes, role="dialogue")
    assert any(text.startswith(problem) for text in problems), problems


def test_a_dialogue_set_needs_its_states(scenes):
    (scenes / "states").unlink()
    assert found(scenes, role="dialogue") == ["states: is missing; stage 4 writes it"]
