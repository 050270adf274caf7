"""bfloat16 is for the arithmetic of training alone: weights, gradients and validation stay float32."""

from __future__ import annotations

import pytest
import torch

from freeze_omni import autocast
from freeze_omni.bin.train import load_task
from freeze_omni.config import ConfigError


def test_training_computes_in_bfloat16_and_validation_does_not(toy):
    model, args = toy.build("1.1")
    model.autocast = torch.bfloat16
    batch = toy.batch("1.1", args)
    seen = []
    model.ctc.output.register_forward_hook(lambda _, given, out: seen.append(out.dtype))
    loss = model.train()(**batch)[0]
    loss.backward()
    exact = model.eval()(**batch)[0]
    assert seen == [torch.bfloat16, torch.float32] and loss.dtype == exact.dtype == torch.float32
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(parameter.dtype == parameter.grad.dtype == torch.float32 for parameter in learning)


def test_espnets_way_to_ask_for_it_is_an_error(toy):
    args = toy.build("1.1", use_amp=True)[1]
    with pytest.raises(ConfigError, match="use_amp: write autocast: bfloat16"):
        load_task("encoder").settle_options(args)


@pytest.mark.parametrize("able", [True, False])
def test_auto_asks_the_hardware(monkeypatch, able):
    monkeypatch.setattr(autocast, "_multiplies_bfloat16", lambda device: able)
    assert autocast.autocast_dtype("auto", "cpu") is (torch.bfloat16 if able else None)
    assert (
        autocast.autocast_dtype("float32", "cpu") is None
        and autocast.autocast_dtype("bfloat16", "cpu") is torch.bfloat16
    )
