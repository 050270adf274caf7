"""Durations with the tokens, from data directories to the task that reads them."""

from __future__ import annotations

import pytest
import yaml

from freeze_omni.bin.time_text import main
from freeze_omni.speech_decoder.timing import durations
from tests.commands import exit_code
from tests.tasks.conftest import toy  # noqa: F401
from tests.tasks.corpus import DECODER, write_corpus

TOLD = {"speech_decoder": DECODER | {"positions": "progress", "length": "predicted", "reading": "told"}}


@pytest.fixture
def told(toy, tmp_path):  # noqa: F811
    """A corpus, and the options that time it."""
    data = write_corpus(tmp_path / "data")
    config = tmp_path / "2.2.yaml"
    config.write_text(yaml.safe_dump({"model": TOLD}))
    options = ["--config", str(config), "--llm", str(toy.folder / "llm"), "--data_dir", str(data)]
    return data, [*options, "--token_dir", str(data)]


def test_every_row_gets_its_tokens_and_the_task_reads_them(told, toy, capsys):  # noqa: F811
    data, options = told
    assert exit_code(main, options) == 0 and "4 utterances" in capsys.readouterr().out
    tokens = dict(line.split(maxsplit=1) for line in (data / "tokens").read_text().splitlines())
    rows = dict(line.split(maxsplit=1) for line in (data / "durations").read_text().splitlines())
    assert {uid: sum(map(int, row.split())) for uid, row in rows.items()} == {
        uid: len(row.split()) for uid, row in tokens.items()
    }
    model, args = toy.build("2.2", model=TOLD)
    with pytest.raises(ValueError, match="durations"):
        model(**toy.batch("2.2", args))
    model, args = toy.build("2.2", model=TOLD, train_dir=[str(data)], valid_dir=[str(data)])
    args.train_dir = args.valid_dir = [str(data)]
    batch = toy.batch("2.2", args)
    assert batch["row_tokens"].shape == batch["text"].shape
    loss, _, _ = model(**batch)
    loss.backward()
    assert model.speech_decoder.reading.rows.weight.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="each row"):
        model(**batch | {"row_tokens_lengths": batch["row_tokens_lengths"] - 1})


def test_what_is_wrong_is_said_in_a_line(told, capsys):
    data, options = told
    (data / "text").unlink()
    assert exit_code(main, options) == 1
    assert "text" in capsys.readouterr().err


def test_a_decoder_that_needs_none_leaves_none(told, tmp_path):
    data, options = told
    (data / "durations").write_text("stale 1\n")
    (tmp_path / "2.2.yaml").write_text(yaml.safe_dump({"model": {"speech_decoder": DECODER}}))
    assert exit_code(main, options) == 0 and not (data / "durations").exists()
    assert exit_code(main, [*options, "--always"]) == 0  # for a prefix that speaks segments
    tokens = dict(line.split(maxsplit=1) for line in (data / "tokens").read_text().splitlines())
    rows = dict(line.split(maxsplit=1) for line in (data / "durations").read_text().splitlines())
    assert {uid: sum(map(int, row.split())) for uid, row in rows.items()} == {
        uid: len(row.split()) for uid, row in tokens.items()
    }


@pytest.mark.parametrize("jobs", [2, 5])
def test_an_array_of_jobs_writes_the_same(told, monkeypatch, capsys, jobs):
    """In two turns: what rows sound like is learned by the first job, for all."""
    monkeypatch.setattr(durations, "PIECE_UTTERANCES", 1)
    data, options = told
    assert exit_code(main, options) == 0
    alone = (data / "durations").read_bytes()
    (data / "durations").unlink()
    for turn in (1, 2):
        for number in range(jobs, 0, -1):
            assert exit_code(main, [*options, "--part", f"{number}/{jobs}"]) == 0
        waits = "left to the next turn" in capsys.readouterr().out
        assert waits == (turn == 1) and not (data / "durations").exists()
    monkeypatch.setattr(durations, "features_of", None)  # merging hears nothing
    assert exit_code(main, options) == 0
    assert (data / "durations").read_bytes() == alone and not (data / ".durations").exists()


def test_what_was_timed_of_other_texts_is_not_taken(told, monkeypatch):
    """A killed array has timed some; the text that is changed then has fewer rows."""
    monkeypatch.setattr(durations, "PIECE_UTTERANCES", 1)
    data, options = told
    for _ in range(2):
        assert exit_code(main, [*options, "--part", "1/2"]) == 0
    before = (data / ".durations/00000000-00000001").read_text().split()
    text = (data / "text").read_text()
    (data / "text").write_text(text.replace("Hello, my", "My"))
    assert exit_code(main, options) == 0
    after = (data / "durations").read_text().splitlines()[0].split()
    assert before[0] == after[0] == "utt0" and len(after) < len(before)
