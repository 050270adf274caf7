"""The speech decoder against recorded runs of the published one (random-weight miniatures)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from freeze_omni.released.speech_decoder import from_released, read_speech_decoder, to_released
from freeze_omni.speech_decoder import SamplingConfig, SpeechDecoder
from freeze_omni.speech_decoder.generate import generate

ROOT = Path(os.environ.get("FREEZE_OMNI_GOLDEN", Path(__file__).parents[3] / "shared" / "golden"))
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason="no golden recordings (FREEZE_OMNI_GOLDEN)")


@pytest.fixture(params=["a", "b"])
def golden(request) -> tuple[SpeechDecoder, dict[str, Tensor], dict[str, np.ndarray]]:
    folder = ROOT / request.param
    config, state = read_speech_decoder(folder / "checkpoints" / "decoder")
    weights = load_file(folder / "llm" / "model.safetensors")
    embed = next(value for key, value in weights.items() if key.endswith("embed_tokens.weight")).float()
    record = dict(np.load(folder / "golden.npz"))
    decoder = SpeechDecoder(config, embed.shape[1]).eval()
    decoder.load_state_dict(state)
    inputs = {
        "text": embed[torch.from_numpy(record["tts_text_ids"])],
        "hidden": torch.from_numpy(record["round0_hidden"]),
    }
    return decoder, inputs, record


def close(ours: Tensor, theirs: np.ndarray) -> bool:
    return float((ours - torch.from_numpy(theirs)).abs().max()) <= 1e-4 * float(np.abs(theirs).max())


def test_rows(golden):
    decoder, inputs, record = golden
    for key, name in (("text", "tts_nar_in"), ("hidden", "tts_prefix_in")):
        rows, lengths = decoder.nar_rows(inputs[key][None], torch.tensor([len(inputs[key])]))
        assert lengths.tolist() == [len(record[name])]
        assert close(rows[0], record[name])


@pytest.mark.parametrize("case", ["prefix", "noprefix", "penalty"])
def test_greedy_tokens(golden, case):
    decoder, inputs, record = golden
    window = 20 if case == "penalty" else 0
    sampling = SamplingConfig(top_k=1, penalty=1.1, penalty_window=window)
    hidden = None if case == "noprefix" else inputs["hidden"]
    tokens = list(generate(decoder, inputs["text"], hidden, sampling, max_tokens=60))
    assert tokens == record[f"ar_tokens_{case}"].tolist()


def test_teacher_forcing(golden):
    decoder, inputs, record = golden
    target = torch.from_numpy(record["tf_y"])[None]
    lengths = {key: torch.tensor([len(value)]) for key, value in inputs.items()}
    call = (inputs["text"][None], lengths["text"], target, torch.tensor([target.shape[1]]))
    prefix = (inputs["hidden"][None], lengths["hidden"])
    with torch.no_grad():
        logits = decoder(*call, *prefix)
        mean, stats = decoder.loss(*call, *prefix)
    assert close(logits[0], record["tf_logits"])
    summed = F.cross_entropy(logits[0], F.pad(target[0], (0, 1), value=decoder.config.eos), reduction="sum")
    assert float(summed) == pytest.approx(float(record["tf_loss"]), rel=1e-4)
    assert float(mean) * logits.shape[1] == pytest.approx(float(record["tf_loss"]), rel=1e-4)


def test_export_is_the_inverse_of_import(golden):
    decoder, _, _ = golden
    theirs = to_released(decoder.state_dict(), decoder.config)
    again = from_released(theirs, decoder.config)
    assert all(torch.equal(again[key], value) for key, value in decoder.state_dict().items())
