"""`freeze-omni serve` with a model that cannot be loaded."""

from __future__ import annotations

import multiprocessing
import threading

import pytest

from freeze_omni.bin import serve
from freeze_omni.engine import worker
from freeze_omni.engine.worker import Unusable, WorkerConfig, run_worker
from freeze_omni.server import app
from freeze_omni.server.router import Router


@pytest.fixture
def broken(tmp_path):
    """A folder that looks like a pack, with a configuration that cannot be."""
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "config.yaml").write_text("llm_size: 48\nctc_units: 9\nno_such_part: {}\n")
    return folder


@pytest.fixture(autouse=True)
def signals(monkeypatch):
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)


def start(config, pipe):
    """A worker in a thread."""

    def work():
        run_worker(config, pipe)
        pipe.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_worker_says_in_one_line_why_it_cannot_load(broken):
    here, there = multiprocessing.Pipe()
    run_worker(WorkerConfig(broken), there)
    found = here.recv()
    assert isinstance(found, Unusable) and "\n" not in found.reason
    assert "config.yaml" in found.reason and "no_such_part" in found.reason


def test_serving_it_is_one_line_and_code_1(broken, monkeypatch, capsys, caplog):
    monkeypatch.setattr(app, "Router", lambda configs: Router(configs, start))
    with pytest.raises(SystemExit, match="^serve: error: .*no_such_part") as ended:
        serve.main(["--model", str(broken), "--port", "0"])
    assert isinstance(ended.value.code, str) and "\n" not in ended.value.code  # Python exits with 1 for a text
    told = capsys.readouterr()
    assert "Traceback" not in told.err + told.out + caplog.text
    assert "is gone" not in caplog.text


def test_a_model_that_the_hub_does_not_give_is_refused_at_once():
    with pytest.raises(SystemExit, match="^serve: error: me/toy: neither a folder here nor a model of the hub"):
        serve.main(["--model", "me/toy"])  # tests are offline


def test_a_folder_that_is_no_pack_is_refused_at_once(tmp_path):
    with pytest.raises(SystemExit, match="no config.yaml in it"):
        serve.main(["--model", str(tmp_path)])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--host", "0.0.0.0"], "--no_api_key"),
        (["--api_key", "two words"], "API key must be"),
        (["--record", "/dev/null/records"], "/dev/null/records"),
        (["--close_s", "-1"], "close_s -1 is not between"),
        (["--close_s", "nan"], "close_s nan is not between"),
    ],
)
def test_what_would_go_wrong_later_is_told_before_the_model_is_loaded(broken, monkeypatch, options, problem):
    monkeypatch.setattr(app, "make", lambda *_, **__: pytest.fail("it is served"))
    monkeypatch.delenv(serve.KEY, raising=False)
    with pytest.raises(SystemExit, match=f"^serve: error: .*{problem}"):
        serve.main(["--model", str(broken), "--port", "0", *options])
