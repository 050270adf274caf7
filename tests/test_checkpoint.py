"""Parts from several folders, with their configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from freeze_omni.checkpoint import PartsSource, fill_parts, inherit_config, load_parts
from freeze_omni.config import ConfigError


def stage(folder: Path, model: dict, **parts: nn.Module) -> Path:
    folder.mkdir()
    path = folder / "latest.pth"
    torch.save(nn.ModuleDict(parts).state_dict(), path)
    (folder / "config.yaml").write_text(yaml.safe_dump({"model": model}))
    return path


def test_parts_and_their_configuration_come_from_several_folders(tmp_path):
    encoder, ctc, adapter = nn.Linear(2, 3), nn.Linear(3, 4), nn.Linear(3, 5)
    one = stage(tmp_path / "a", {"encoder": {"size": 2}, "fbank": {}}, encoder=encoder, ctc=ctc)
    two = stage(tmp_path / "b", {"adapter": {"conv": {}}, "prompt": 3}, adapter=adapter)
    sources = [PartsSource.parse(f"{one}:encoder, ctc"), PartsSource.parse(f"{two}:adapter")]
    config = inherit_config({"prompt": 25}, sources, "here")
    wanted = {"encoder": {"size": 2}, "fbank": {}, "adapter": {"conv": {}}, "prompt": 25}
    assert config == wanted
    fresh = nn.ModuleDict({"encoder": nn.Linear(2, 3), "ctc": nn.Linear(3, 4), "adapter": nn.Linear(3, 5)})
    fill_parts(fresh, load_parts(sources))
    assert torch.equal(fresh.encoder.weight, encoder.weight)
    assert torch.equal(fresh.adapter.bias, adapter.bias)


def test_a_full_trainer_checkpoint_is_taken_too(tmp_path):
    part = nn.Linear(2, 2)
    torch.save({"model": nn.ModuleDict({"ctc": part}).state_dict()}, tmp_path / "checkpoint.pth")
    found = load_parts([PartsSource(tmp_path / "checkpoint.pth", ("ctc",))])
    assert torch.equal(found["ctc"]["weight"], part.weight)


def test_a_configuration_that_disagrees_is_refused(tmp_path):
    path = stage(tmp_path / "a", {"encoder": {"size": 2, "layers": 1}}, encoder=nn.Linear(2, 3))
    sources = [PartsSource.parse(f"{path}:encoder")]
    inherit_config({"encoder": {"size": 2}}, sources, "here")
    with pytest.raises(ConfigError, match="here: encoder differs from .*config.yaml"):
        inherit_config({"encoder": {"size": 3}}, sources, "here")


def test_what_was_learned_beside_the_llm_is_not_forgotten(tmp_path):
    model = {"adapter": {"conv": {}}, "llm_tuning": {"lora": {"rank": 2}}}
    path = stage(tmp_path / "a", model, adapter=nn.Linear(2, 3), llm_tuning=nn.Linear(2, 2))
    with pytest.raises(ConfigError, match="take llm_tuning, too"):
        inherit_config({}, [PartsSource.parse(f"{path}:adapter")], "here")
    assert inherit_config({}, [PartsSource.parse(f"{path}:adapter,llm_tuning")], "here") == model
    (tmp_path / "a/config.yaml").write_text(yaml.safe_dump({"model": model | {"llm_tuning": None}}))
    inherit_config({}, [PartsSource.parse(f"{path}:adapter")], "here")


@pytest.mark.parametrize("text", ["exp/latest.pth", "exp/latest.pth:", ":encoder"])
def test_what_is_no_source_is_refused(text):
    with pytest.raises(ConfigError, match="PATH:PART"):
        PartsSource.parse(text)


def test_missing_files_parts_and_other_shapes_are_told(tmp_path):
    path = stage(tmp_path / "a", {}, ctc=nn.Linear(2, 2))
    with pytest.raises(ConfigError, match="no such checkpoint"):
        load_parts([PartsSource(tmp_path / "none.pth", ("ctc",))])
    with pytest.raises(ConfigError, match="holds no 'encoder'; it has: ctc"):
        load_parts([PartsSource(path, ("encoder",))])
    found = load_parts([PartsSource(path, ("ctc",))])
    with pytest.raises(ConfigError, match="'ctc' does not fit"):
        fill_parts(nn.ModuleDict({"ctc": nn.Linear(2, 3)}), found)
    with pytest.raises(ConfigError, match="has no part 'ctc'"):
        fill_parts(nn.ModuleDict({}), found)
