"""The listening chain and models that have some parts alone."""

from __future__ import annotations

import pytest
import torch
import yaml

from freeze_omni.checkpoint import config_keys, read_model
from freeze_omni.config import ConfigError, as_mapping
from tests.toy import toy_system


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A whole toy model, and some of its parts as stages leave them."""
    root = tmp_path_factory.mktemp("exp")
    model = toy_system(root / "llm")
    model.units.save(root / "units")
    described = as_mapping(model.config)
    for stage, parts in {"1.1": ("encoder", "ctc"), "1.2": ("adapter",), "2.1": ("codec",)}.items():
        (root / stage).mkdir()
        keys = [key for part in parts for key in config_keys(part)]
        (root / stage / "config.yaml").write_text(yaml.safe_dump({"model": {key: described[key] for key in keys}}))
        state = {key: value for key, value in model.state_dict().items() if key.split(".")[0] in parts}
        torch.save(state, root / stage / "ave.pth")
    return root, model


def test_in_steps_it_gives_what_it_gives_at_once(trained):
    model, chunk = trained[1], trained[1].rates.chunk_samples
    wav = torch.randn(2, 6 * chunk, generator=torch.Generator().manual_seed(1)) * 0.2
    with torch.no_grad():
        whole = model.listening(wav, torch.tensor([6 * chunk] * 2))
        state, outs, units = model.listening.initial_state(2), [], [[], []]
        for size in (1, 3, 2):
            out, state = model.listening.step(wav[:, : size * chunk], state)
            wav = wav[:, size * chunk :]
            outs.append(out)
            units = [row + new for row, new in zip(units, model.listening.units(out), strict=True)]
    for name in ("feats", "frames", "logits"):
        steps = torch.cat([getattr(out, name) for out in outs], dim=1)
        assert torch.allclose(
            steps[:, : whole.frames.shape[1] if name != "feats" else None], getattr(whole, name), atol=1e-4
        )
    assert units == model.listening.units(whole)
    assert sum(out.adapted.lengths for out in outs).tolist() == whole.adapted.lengths.tolist()


def test_a_recogniser_needs_no_llm(trained):
    root, model = trained
    wav, lengths = torch.randn(1, 32000), torch.tensor([32000])
    partial = read_model([f"{root}/1.1/ave.pth:encoder,ctc"], units=root / "units")
    assert partial.transcribe(wav, lengths) == model.transcribe(wav, lengths)
    assert partial.listening(wav, lengths).adapted is None and partial.llm is None
    assert not partial.has("codec")
    with pytest.raises(AttributeError, match="no part 'codec', only encoder, ctc"):
        partial.codec  # noqa: B018


def test_a_codec_alone_has_its_own_rates_and_a_voice(trained):
    root, model = trained
    partial = read_model([f"{root}/2.1/ave.pth:codec"])
    assert partial.rates.output_hz == model.codec.config.sample_rate_hz
    assert partial.voice.shape == model.voice.shape


def test_parts_that_need_more_say_so(trained):
    root, _ = trained
    with pytest.raises(ConfigError, match="adapter work with the LLM: give it"):
        read_model([f"{root}/1.1/ave.pth:encoder,ctc", f"{root}/1.2/ave.pth:adapter"], units=root / "units")
