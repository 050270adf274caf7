"""Models travel: uploaded to a stand-in for the hub and read from there; an LLM, a judge and an encoder of the hub."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel

import freeze_omni
from freeze_omni.bin import answer, upload
from freeze_omni.config import ConfigError
from freeze_omni.eval.judge import Judge
from freeze_omni.frontend.load import describe, load_weights
from freeze_omni.frontend.pretrained import PretrainedConfig, PretrainedFrontend
from freeze_omni.hub import HubError, folder_of, is_hub_id
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.pack import PackError, save
from freeze_omni.publish import card
from tests.commands import exit_code
from tests.contract.parts.pretrained import MODELS
from tests.frontend.ctranslate2 import write_ctranslate2
from tests.hub import hub
from tests.shell.bash import ROOT
from tests.toy import toy_system

pytestmark = pytest.mark.processes

RESULTS = (
    "# Results of toy\n\n## What a user gets\n\n| figure | toy |\n| --- | --- |\n| `qa` | 0.5 |\n\n## More\n\nlong\n"
)
UPLOAD = ["--to", "me/toy", "--licence", "cc-by-4.0", "--part_licences", "llm=apache-2.0"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pack")
    (root / "RESULTS.md").write_text(RESULTS)
    folder = save(toy_system(root / "llm"), root / "model", results=root / "RESULTS.md")
    (folder / "notes.md").write_text("mine")
    return folder


def journey(packed: str) -> None:
    """What is done in a process for which the stand-in is the hub; prints what was found."""
    found: dict[str, object] = {}
    with redirect_stdout(StringIO()) as printed:
        upload.main(["--model", packed, *UPLOAD, "--private"])
        Path(packed, "RESULTS.md").unlink()
        upload.main(["--model", packed, *UPLOAD])
    found["addresses"] = printed.getvalue().splitlines()
    model = freeze_omni.load("me/toy")
    found["llm"] = model.llm.source
    weights = load_file(Path(packed, "model.safetensors"))
    found["same"] = all(torch.equal(weights[key], value) for key, value in model.state_dict().items())
    found["old"] = sorted(path.name for path in folder_of(f"me/toy@{1:040d}", ["*.md"]).iterdir())
    found["fingerprint"] = FrozenLLM.load("me/llm").fingerprint()
    encoder = f"me/encoder@{0:040d}"
    frontend = PretrainedFrontend(PretrainedConfig(model=describe(encoder), left_s=0.32))
    load_weights(frontend, encoder)
    found["encoder"] = float(sum(weight.double().sum() for weight in frontend.model.net.state_dict().values()))
    found["ctranslate2"] = describe("me/ctranslate2")["model_type"]
    found["answer"] = exit_code(answer.main, ["--model", "me/toy", "--input", f"{packed}/../question.wav"])
    with patch.dict(sys.modules, faster_whisper=SimpleNamespace(WhisperModel=lambda folder, **_: Path(folder))):
        judge = Judge("me/judge")
    found["judge"] = [judge.name, sorted(path.name for path in judge._model.iterdir())]
    for name in ("me/none", "me/toy@v9"):
        try:
            freeze_omni.load(name)
        except HubError as error:
            found[name] = str(error)
    print(json.dumps(found))


@pytest.fixture(scope="module")
def travelled(packed, tmp_path_factory):
    """What `journey` printed, and the hub afterwards."""
    root = tmp_path_factory.mktemp("travel")
    encoder, whisper = (AutoModel.from_config(AutoConfig.for_model(**MODELS[name])) for name in ("wav2vec2", "whisper"))
    encoder.save_pretrained(root / "encoder")
    write_ctranslate2({"encoder": whisper.encoder.state_dict()}, root / "model.bin")
    soundfile.write(root / "question.wav", 0.3 * np.random.default_rng(0).standard_normal(8000), 16000)
    copied = shutil.copytree(packed, root / "pack")
    with hub() as server:
        server.commits["me/llm"] = [{path.name: path.read_bytes() for path in (packed / "llm").iterdir()}]
        server.commits["me/encoder"] = [{path.name: path.read_bytes() for path in (root / "encoder").iterdir()}]
        server.commits["me/ctranslate2"] = [{"model.bin": (root / "model.bin").read_bytes()}]
        server.commits["me/judge"] = [{"model.bin": b"", "config.json": b"{}", "vocabulary.txt": b"", "run.py": b""}]
        environment = {**os.environ, **server.environment, "HF_HOME": str(root / "hf"), "PYTHONPATH": str(ROOT)}
        code = f"from tests import test_publish; test_publish.journey({str(copied)!r})"
        ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        found = json.loads(ended.stdout.splitlines()[-1])
        total = float(sum(weight.double().sum() for weight in encoder.state_dict().values()))
        yield SimpleNamespace(server=server, pack=copied, found=found, encoder=total)


def test_the_pack_and_its_card_are_uploaded_and_nothing_else(travelled):
    first, second = travelled.server.commits["me/toy"][1:]
    files = [path for path in travelled.pack.rglob("*") if path.is_file()]
    own = {path.relative_to(travelled.pack).as_posix(): path.read_bytes() for path in files}
    del own["notes.md"]
    assert {name: content for name, content in second.items() if name != "README.md"} == own
    assert set(first) - set(second) == {"RESULTS.md"}, "what the pack no longer has is removed"
    assert b"| `qa` | 0.5 |" in first["README.md"] and b"Not measured" in second["README.md"]
    assert [address.rpartition("/")[2] for address in travelled.found["addresses"]] == [f"{n:040d}" for n in (1, 2)]


def test_a_model_of_the_hub_is_the_one_that_was_uploaded(travelled):
    assert travelled.found["same"] and "/snapshots/" in travelled.found["llm"]
    assert travelled.found["old"] == ["README.md", "RESULTS.md"]


def test_parts_of_the_hub(travelled, packed):
    found = travelled.found
    assert found["fingerprint"] == FrozenLLM.load(packed / "llm").fingerprint()
    assert found["encoder"] == pytest.approx(travelled.encoder) and found["ctranslate2"] == "whisper"
    assert found["answer"] in (0, answer.NO_ANSWER)
    assert found["judge"] == ["judge", ["config.json", "model.bin", "vocabulary.txt"]]


def test_a_new_repository_is_as_private_as_was_asked(travelled):
    assert "POST /api/repos/create" in travelled.server.asked and travelled.server.private["me/toy"]


def test_what_is_not_there_is_one_line(travelled):
    for name in ("me/none", "me/toy@v9"):
        said = travelled.found[name]
        assert said.startswith(f"{name}: neither a folder here nor a model of the hub: 404") and "\n" not in said


def test_the_card_says_whose_parts_have_which_licence(packed):
    text = card(packed, "me/toy", "cc-by-4.0", {"llm": "apache-2.0"})
    assert "license: cc-by-4.0\n" in text and 'freeze_omni.load("me/toy")' in text and "| `qa` | 0.5 |" in text
    assert "| llm | frozen, width 48 | apache-2.0 |" in text and "| encoder | " in text and "long" not in text
    with pytest.raises(PackError, match="does not say the licence of its llm"):
        card(packed, "me/toy", "cc-by-4.0")
    with pytest.raises(PackError, match="no part 'voice'"):
        card(packed, "me/toy", "cc-by-4.0", {"voice": "mit"})
    (packed / "llm/LICENSE").write_text("free")
    assert "[LICENSE](llm/LICENSE) |" in card(packed, "me/toy", "cc-by-4.0")
    (packed / "llm/LICENSE").unlink()


def test_a_dry_run_prints_the_card(packed, capsys):
    upload.main(["--model", str(packed), *UPLOAD, "--dry_run"])
    assert capsys.readouterr().out == card(packed, "me/toy", "cc-by-4.0", {"llm": "apache-2.0"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--to", "toy"], "--to toy: expected USER/NAME"),
        (["--part_licences", "mit"], "--part_licences mit: expected PART=LICENCE"),
        (["--model", "/nowhere"], "no config.yaml"),
        ([], "hub does not take it"),  # tests are offline
    ],
)
def test_what_cannot_be_uploaded_is_one_line(packed, change, message):
    with pytest.raises(SystemExit, match=f"^upload: error: .*{message}"):
        upload.main(["--model", str(packed), *UPLOAD, *change])


def test_a_pack_that_refers_to_a_folder_stays_here(tmp_path):
    folder = save(toy_system(tmp_path / "llm"), tmp_path / "model", copy_llm=False)
    with pytest.raises(PackError, match="without --link_llm"):
        card(folder, "me/toy", "mit", {"llm": "mit"})
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace(str(tmp_path / "llm"), "me/llm@v1"))
    text = card(folder, "me/toy", "mit")
    assert "base_model: me/llm\n" in text and "| llm | frozen, width 48 | see its own page |" in text


def test_which_words_are_hub_ids(tmp_path, monkeypatch):
    assert all(map(is_hub_id, ("me/toy", "me/toy@v1", "a.b/c-d_e@refs/pr/3")))
    assert not any(map(is_hub_id, ("toy", "exp/toy/pack", "./toy", "/a/b", "~/toy", "../toy", "a/b c")))
    monkeypatch.chdir(tmp_path)
    Path("me/toy").mkdir(parents=True)
    assert not is_hub_id("me/toy") and folder_of("me/toy", ["*"]) == Path("me/toy")
    with pytest.raises(ConfigError, match="neither a folder here nor"):  # offline
        folder_of("me/other", ["*"])
