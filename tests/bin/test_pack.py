"""Stage 13: checkpoints of several stages become one folder that loads."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
import yaml

from freeze_omni.bin import pack
from freeze_omni.checkpoint import config_keys
from freeze_omni.config import ConfigError, as_mapping
from freeze_omni.eval.runner import load_model
from freeze_omni.llm.llama_cpp import LlamaCppLLM
from freeze_omni.pack import load, read_config
from freeze_omni.quantised import is_quantised
from tests.llm.gguf_toy import need_llama_cpp, write_gguf
from tests.toy import toy_system

STAGES = {
    "1.2": ("encoder", "ctc", "adapter"),
    "1.3": ("prompt", "state_head"),
    "2.1": ("codec",),
    "2.3": ("speech_decoder",),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model, and its parts as the stages leave them: exp/<stage>/{config.yaml,ave.pth}."""
    root = tmp_path_factory.mktemp("exp")
    model = toy_system(root / "llm")
    model.units.save(root / "units")
    described = as_mapping(model.config)
    for stage, parts in STAGES.items():
        (root / stage).mkdir()
        keys = [key for part in parts for key in config_keys(part)]
        config = {"model": {key: described[key] for key in keys}}
        (root / stage / "config.yaml").write_text(yaml.safe_dump(config))
        state = {k: v for k, v in model.state_dict().items() if k.split(".")[0] in parts}
        torch.save(state, root / stage / "ave.pth")
    soundfile.write(root / "voice.wav", np.random.default_rng(0).normal(0, 0.1, 16000), 16000)
    return root, model


def arguments(root, parts, *more):
    texts = [f"{root / stage}/ave.pth:{','.join(STAGES[stage])}" for stage in parts]
    options = ["--output", str(root / "packed"), "--llm", str(root / "llm"), "--parts", *texts]
    return [*options, "--units", str(root / "units"), *more]


def test_the_folder_holds_what_was_trained(trained, monkeypatch, capsys):
    root, model = trained
    more = ["--voice", str(root / "voice.wav"), "--system", "Be brief."]
    monkeypatch.setattr("sys.argv", ["pack", *arguments(root, STAGES, *more)])
    pack.main()
    assert "MB" in capsys.readouterr().out
    packed = load(root / "packed")
    state = packed.state_dict()
    for key, value in model.state_dict().items():
        assert torch.equal(state[key], value) == (key != "voice")
    assert packed.system_prompt == "Be brief."


def test_a_part_that_nobody_trained_is_an_error(trained):
    root, _ = trained
    args = pack.parser().parse_args(arguments(root, ["1.2", "1.3", "2.1"]))
    with pytest.raises(ConfigError, match="no checkpoint for speech_decoder"):
        pack.assemble(args)


def test_errors_are_one_line(trained, monkeypatch):
    root, _ = trained
    monkeypatch.setattr("sys.argv", ["pack", *arguments(root, ["1.2"]), "--llm", "/no/where"])
    with pytest.raises(SystemExit) as error:
        pack.main()
    assert str(error.value).startswith("pack: error: /no/where: no such folder")


def test_a_gguf_file_is_packed_and_kept_when_parts_are_replaced(trained, monkeypatch, tmp_path):
    need_llama_cpp()
    root, _ = trained
    file = write_gguf(root / "llm", tmp_path / "toy.gguf")
    monkeypatch.setattr("sys.argv", ["pack", *arguments(root, STAGES, "--llm_gguf", str(file))])
    pack.main()
    config = yaml.safe_load((root / "packed" / "config.yaml").read_text())["llm"]
    assert config["gguf"] == "llm/toy.gguf" and len(config["gguf_fingerprint"]) == 64
    again = ["--base", str(root / "packed"), "--parts", f"{root / 'packed'}:prompt", "--link_llm"]
    monkeypatch.setattr("sys.argv", ["pack", "--output", str(tmp_path / "again"), *again])
    pack.main()
    linked = read_config(tmp_path / "again").llm
    assert linked.gguf == str(root / "packed" / "llm" / "toy.gguf")
    assert (linked.gguf_fingerprint, linked.fingerprint) == (config["gguf_fingerprint"], config["fingerprint"])
    assert isinstance(load_model(tmp_path / "again").llm, LlamaCppLLM)
    assert not isinstance(load(tmp_path / "again", gguf="").llm, LlamaCppLLM)


def test_few_bits_are_packed_and_kept_or_changed_when_parts_are_replaced(trained, monkeypatch, tmp_path):
    root, model = trained
    monkeypatch.setattr("sys.argv", ["pack", *arguments(root, STAGES, "--few_bits", "encoder=int8")])
    pack.main()
    assert read_config(root / "packed").few_bits == {"encoder": "int8"}
    assert is_quantised(load_model(root / "packed").encoder)
    base = ["pack", "--base", str(root / "packed"), "--parts", f"{root / 'packed'}:prompt", "--link_llm"]
    monkeypatch.setattr("sys.argv", [*base, "--output", str(tmp_path / "kept")])
    pack.main()
    assert read_config(tmp_path / "kept").few_bits == {"encoder": "int8"}
    more = ["--few_bits", "encoder=float16", "speech_decoder=int8"]
    monkeypatch.setattr("sys.argv", [*base, "--output", str(tmp_path / "other"), *more])
    pack.main()
    assert read_config(tmp_path / "other").few_bits == {"encoder": "float16", "speech_decoder": "int8"}
    exact = load(tmp_path / "other", few_bits={}).encoder.state_dict()
    assert all(torch.equal(exact[key], value) for key, value in model.encoder.state_dict().items())


@pytest.mark.parametrize(
    ("word", "said"), [("encoder", "is no PART=BITS"), ("encoder=int4", "few_bits: encoder: 'int4' is not one of")]
)
def test_other_bits_are_errors(trained, monkeypatch, capsys, word, said):
    root, _ = trained
    monkeypatch.setattr("sys.argv", ["pack", *arguments(root, STAGES, "--few_bits", word)])
    with pytest.raises(SystemExit) as error:
        pack.main()
    assert said in f"{error.value} {capsys.readouterr().err}"
