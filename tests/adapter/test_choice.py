"""A configuration names exactly one adapter."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.adapter.choice import AdapterChoice, build_adapter
from freeze_omni.adapter.conv import ConvAdapter
from freeze_omni.adapter.ctc import CtcAdapter
from freeze_omni.config import ConfigError, build


def test_one_key_makes_its_adapter() -> None:
    conv = build(AdapterChoice, {"conv": {"kernel": 3}})
    ctc = build(AdapterChoice, {"ctc": {}})
    assert isinstance(build_adapter(conv, 8, 12), ConvAdapter) and not conv.needs_unit_embeds
    assert isinstance(build_adapter(ctc, 8, 12, torch.zeros(4, 12)), CtcAdapter)
    assert ctc.needs_unit_embeds
    assert not build(AdapterChoice, {"ctc": {"posterior": False}}).needs_unit_embeds
    assert (conv.positions_per_chunk, ctc.positions_per_chunk) == (2, None)


@pytest.mark.parametrize("mapping", [{}, {"conv": {}, "ctc": {}}])
def test_none_and_both_are_refused(mapping: dict[str, dict]) -> None:
    with pytest.raises(ConfigError, match="choose one adapter"):
        build(AdapterChoice, mapping)
