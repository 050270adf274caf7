"""Measuring a model that cannot be loaded."""

from __future__ import annotations

import pytest

from benchmarks import serving as benchmark
from benchmarks.load import server
from freeze_omni.server.router import Router
from tests.bin.test_serve import broken, signals, start

pytestmark = [
    pytest.mark.servers,
    pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning"),
]
__all__ = ["broken", "signals"]


def test_it_is_one_line_that_names_the_folder(broken, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(server, "Router", lambda configs: Router(configs, start))
    with pytest.raises(SystemExit, match="^serving: error: .*config.yaml.*no_such_part") as ended:
        benchmark.main(["--model", str(broken), "--parts", "limit", "--output", str(tmp_path / "serving.json")])
    assert str(broken) in ended.value.code and "\n" not in ended.value.code
    told = capsys.readouterr()
    assert "Traceback" not in told.err + told.out and not (tmp_path / "serving.json").exists()
