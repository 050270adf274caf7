"""Models of ours that the published layout can hold, and those that it cannot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freeze_omni.adapter.choice import AdapterChoice
from freeze_omni.adapter.conv import ConvAdapterConfig
from freeze_omni.bin import export_released
from freeze_omni.codec import CodecConfig
from freeze_omni.config import build
from freeze_omni.duplex.state_head import StateHeadConfig
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.pack import save
from freeze_omni.released.checkpoint import build_model, read_released
from freeze_omni.released.export import ExportError, write_released
from freeze_omni.released.golden import INPUTS, record
from tests.contract.parts.codec import TIME_DOMAIN
from tests.golden import miniature
from tests.speech_decoder.toy import TOY
from tests.toy import toy_system

GLOBAL = {"dim": 128, "tokens": 4, "codebook_size": 16}
CODEC = TIME_DOMAIN | {"global_code": GLOBAL, "time_domain": TIME_DOMAIN["time_domain"] | {"channels": 256}}
# as trained by the recipe with the paper's switches: with a CTC head, three logits, task tokens
SWITCHES = {
    "encoder": EncoderConfig(
        size=16, layers=1, heads=2, ffn_size=32, left_chunks=2, positions="released", start="zero_features"
    ),
    "adapter": AdapterChoice(conv=ConvAdapterConfig(norm="layer", activation="gelu", kernel=3)),
    "state_head": StateHeadConfig(summary=False),
    "task_tokens": 2,
    "speech_decoder": replace(TOY, text_rows="reshape", codes=16),
    "codec": build(CodecConfig, CODEC),
    "text_style": "released",
}


def system(folder, **changes):
    from freeze_omni.rates import Rates

    fields = SWITCHES | {"rates": Rates(token_samples=24)} | changes
    return toy_system(folder / "llm", **fields)


def test_a_trained_model_survives_the_journey(tmp_path, capsys):
    model = system(tmp_path)
    save(model, tmp_path / "pack")
    export_released.main([f"--model={tmp_path / 'pack'}", f"--output={tmp_path / 'written'}"])
    said = capsys.readouterr().out
    assert "left out: ctc" in said
    released = read_released(tmp_path / "written")
    assert released.config.system_prompt == model.config.system_prompt
    again = build_model(released, FrozenLLM.load(tmp_path / "llm", texts=released.config.chat))
    recording = record(model, miniature.inputs(model, steps=3))
    second = record(again, {key: recording[key] for key in INPUTS})
    assert set(second) == set(recording)
    for key, value in recording.items():
        assert (second[key] == value).all(), key
    prompt, text = again.system_prompt, "Tea, please."
    assert again.llm.chat.dialogue(prompt, [(text, None)]) == model.llm.chat.dialogue(prompt, [(text, None)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_style": "english"}, "text_style: only released"),
        ({"adapter": AdapterChoice(conv=ConvAdapterConfig(convolutions=2))}, "make 1 convolutions"),
        ({"encoder": replace(SWITCHES["encoder"], positions="rotary")}, "positions: released"),
        ({"encoder": replace(SWITCHES["encoder"], conv_kernel=3)}, "conv_kernel"),
        ({"state_head": StateHeadConfig(summary=True)}, "summary: false"),
        ({"state_head": StateHeadConfig(summary=False, hidden=8)}, "hidden: 0"),
        ({"state_head": StateHeadConfig(summary=False, wait=True)}, "wait: false"),
        ({"speech_decoder": replace(TOY, codes=16)}, "text_rows: reshape"),
        ({"speech_decoder": replace(TOY, codes=16, text_rows="reshape", pre_layers=0)}, "pre_layers"),
    ],
)
def test_what_the_layout_cannot_hold_is_refused(changes, message, tmp_path):
    with pytest.raises(ExportError, match=message):
        write_released(system(tmp_path, **changes), tmp_path / "written")
    assert not (tmp_path / "written").exists()


def test_our_default_architecture_is_refused_with_every_reason(tmp_path):
    model = toy_system(tmp_path / "llm")
    with pytest.raises(ExportError, match="adapter: only conv.*text_style"):
        write_released(model, tmp_path / "written")


def test_a_published_folder_is_not_replaced(tmp_path):
    (tmp_path / "published" / "audiollm").mkdir(parents=True)
    (tmp_path / "published" / "audiollm" / "train.yaml").write_text("theirs")
    with pytest.raises(ExportError, match="something else"):
        write_released(system(tmp_path), tmp_path / "published")
    assert (tmp_path / "published" / "audiollm" / "train.yaml").read_text() == "theirs"


def test_files_of_something_else_are_kept(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(ExportError, match="something else"):
        write_released(system(tmp_path), tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").exists()
