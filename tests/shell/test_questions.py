"""Stage 6 with `targets: both`: a directory of utterances to be transcribed and questions to be answered."""

from __future__ import annotations

from freeze_omni.bin.train import load_task
from freeze_omni.tasks.data_dirs import add_data_dirs
from tests.shell.bash import ROOT, UTILS, make_data_dir, run

STAGE = ROOT / "egs/TEMPLATE/s2s1/stages/05_train_listening.sh"


def lines(path, **rows):
    path.write_text("".join(f"{key} {value}\n" for key, value in rows.items()))


def test_answered_questions_stand_next_to_utterances(tmp_path):
    speech, dialogue = make_data_dir(tmp_path / "speech"), make_data_dir(tmp_path / "dialogue")
    for name in ("wav.scp", "text", "utt2spk"):
        path = dialogue / name
        path.write_text("".join(f"q-{line}" for line in path.read_text().splitlines(keepends=True)))
    lines(dialogue / "answer", **{"q-s0-u0": "Paris.", "q-s0-u2": "Moo."})
    lines(dialogue / "history", **{"q-s0-u2": '[["Hi", "Hello"]]', "q-s1-u1": '[["No", "answer"]]'})
    script = f'set -euo pipefail; PATH={UTILS}:$PATH; encoder=; . {STAGE}; join_questions "$@"'
    made = run("bash", "-c", script, "join", tmp_path / "both", speech, dialogue)
    assert made.returncode == 0, made.stderr
    tables = {path.name: path.read_text().splitlines() for path in (tmp_path / "both").iterdir()}
    assert sorted(tables) == ["answer", "history", "text", "utt2corpus", "utt2spk", "wav.scp"]
    assert [len(tables[name]) for name in sorted(tables)] == [2, 1, 8, 8, 8, 8]
    assert tables["text"] == sorted(tables["text"]) and "q-s1-u1 Words of s1-u1." not in tables["text"]
    assert tables["history"] == ['q-s0-u2 [["Hi", "Hello"]]']
    assert tables["utt2corpus"][0] == "q-s0-u0 questions" and tables["utt2corpus"][-1].endswith(" speech")

    task = load_task("adapter")
    options = ["--train_dir", str(tmp_path / "both"), "--valid_dir", str(tmp_path / "both")]
    args = task.get_parser().parse_args([*options, "--output_dir", str(tmp_path)])
    add_data_dirs(args, task.files, ("history", "said"), task.sample_hz)
    assert len((tmp_path / "train_lengths").read_text().splitlines()) == 8, "those without an answer stay"
