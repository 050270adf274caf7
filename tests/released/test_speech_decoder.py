"""Import and export of the published speech decoder's layout, on a toy of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from freeze_omni.released.speech_decoder import from_released, read_speech_decoder, to_released
from freeze_omni.speech_decoder import SpeechDecoder
from tests.speech_decoder.toy import LLM_SIZE, TOY

CONFIG = replace(TOY, text_rows="reshape", tokens_per_row=11.0)


@pytest.fixture
def folder(tmp_path):
    decoder = SpeechDecoder(CONFIG, LLM_SIZE)
    options = {
        "transformer_attention_dim": 16,
        "transformer_linear_units": 24,
        "transformer_num_blocks": 2,
        "transformer_attention_heads": 2,
        "transformer_dropout_rate": 0.0,
    }
    (tmp_path / "model.json").write_text(json.dumps([16, 12, options]))
    torch.save({"model": to_released(decoder.state_dict(), CONFIG)}, tmp_path / "final.pt")
    return tmp_path


def test_a_folder_gives_configuration_and_every_tensor(folder):
    config, state = read_speech_decoder(folder)
    assert config == CONFIG
    SpeechDecoder(config, LLM_SIZE).load_state_dict(state)
    again = from_released(to_released(state, config), config)
    assert all(torch.equal(again[name], value) for name, value in state.items())


@pytest.mark.parametrize("change", ["lost", "added"])
def test_a_tensor_without_counterpart_is_an_error(folder, change):
    content = torch.load(folder / "final.pt", weights_only=True)["model"]
    if change == "lost":
        del content["layers.1.mlp.up_proj.weight"]
    else:
        content["layers.9.mlp.up_proj.weight"] = torch.zeros(1)
    torch.save(content, folder / "final.pt")
    with pytest.raises(ValueError, match=r"final\.pt.*layers\.[19]\.mlp\.up_proj"):
        read_speech_decoder(folder)


def test_an_option_that_is_missing_is_named(folder):
    (folder / "model.json").write_text('[16, 12, {"transformer_num_blocks": 2}]')
    with pytest.raises(ValueError, match="model.json.*transformer_attention_dim"):
        read_speech_decoder(folder)


def test_what_the_layout_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="positions: plain"):
        to_released({}, replace(CONFIG, positions="progress"))
