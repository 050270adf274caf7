"""conf/paper says the same architecture as the published files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from freeze_omni.adapter.conv import ConvAdapterConfig
from freeze_omni.codec.config import CodecConfig
from freeze_omni.config import build, read_yaml
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.released.codec import codec_config
from freeze_omni.released.listen import read_listen_config
from freeze_omni.released.speech_decoder import read_config
from freeze_omni.speech_decoder.config import SpeechDecoderConfig
from tests.released import make

PAPER = Path(__file__).parents[2] / "egs" / "TEMPLATE" / "s2s1" / "conf" / "paper"
FULL = make.FULL


def model_of(name: str) -> dict[str, Any]:
    return read_yaml(PAPER / f"{name}.yaml")["model"]


@pytest.fixture
def heard(tmp_path):
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(make.train_yaml(FULL)))
    return read_listen_config(tmp_path / "train.yaml")


def test_listening(heard):
    assert build(EncoderConfig, model_of("1.1_encoder")["encoder"]) == heard.encoder
    assert build(ConvAdapterConfig, model_of("1.2_adapter_conv")["adapter"]["conv"]) == heard.adapter
    dialogue = model_of("1.3_dialogue")
    assert dialogue["prompt"] == heard.prompt and dialogue["state_head"] == {"summary": False}


def test_speech_decoder(tmp_path):
    (tmp_path / "model.json").write_text(json.dumps(make.model_json(FULL)))
    ours = build(SpeechDecoderConfig, model_of("2.2_speech_decoder")["speech_decoder"])
    assert replace(ours, dropout=0.0) == read_config(tmp_path / "model.json")
    assert model_of("2.2_speech_decoder")["text_style"] == "released"


def test_codec():
    ours = build(CodecConfig, model_of("2.1_codec")["codec"])
    theirs = codec_config(json.loads(json.dumps(make.codec_json(FULL))))
    assert replace(ours.time_domain, context_tokens=None) == theirs.time_domain
    assert ours.global_code == theirs.global_code
    assert (ours.sample_rate_hz, ours.hop_samples) == (theirs.sample_rate_hz, theirs.hop_samples)
    quantisers = [(q.kind, q.codebook_size, q.dim, q.normalise) for q in (ours.quantiser, theirs.quantiser)]
    assert quantisers[0] == quantisers[1]
