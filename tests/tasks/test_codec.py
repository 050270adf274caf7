"""Stage 2.1: cuts, losses, statistics, trainings with and without discriminators."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from freeze_omni.bin.train import main
from freeze_omni.checkpoint import read_model
from freeze_omni.config import build
from freeze_omni.tasks.codec import CodecTask
from freeze_omni.tasks.codec_config import CodecModelConfig
from freeze_omni.tasks.codec_cuts import cut
from freeze_omni.tasks.codec_model import CodecModel
from tests.contract.parts.codec import SPECTRAL, TIME_DOMAIN

PERIODS = {"periods": [2, 3], "discriminator_params": {"channels": 4, "max_downsample_channels": 8}}
GAN = {"gan": {"discriminator": "multi_period", "discriminator_conf": PERIODS}}
SHORT = {"segment_s": 0.2, "reference_s": 0.3, "reconstruction": {"per_step": 1}}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(4):
        samples = 9600 + 1200 * number
        tone = np.sin(np.arange(samples) * 0.05 * (number + 1))
        soundfile.write(folder / f"u{number}.wav", 0.3 * tone, 24000)
    lines = (f"u{number} {folder}/u{number}.wav\n" for number in range(4))
    (folder / "wav.scp").write_text("".join(lines))
    return folder


def train(corpus: Path, folder: Path, model: dict, **more) -> None:
    content = {
        "model": {"codec": SPECTRAL, **SHORT, **model},
        "optim_conf": {"lr": "2e-3"},
        "optim2": "adamw",
        "optim2_conf": {"lr": "1e-3"},
        "batch_type": "unsorted",
        "batch_size": 2,
        "max_epoch": 2,
        "best_model_criterion": [["valid", "mel", "min"]],
        "seed": 1,
    }
    (corpus.parent / "conf.yaml").write_text(yaml.safe_dump(content | more))
    options = ["--config", str(corpus.parent / "conf.yaml"), "--output_dir", str(folder)]
    main(["codec", *options, "--train_dir", str(corpus), "--valid_dir", str(corpus)])


def test_cuts_stay_inside_their_rows() -> None:
    wav = torch.arange(1.0, 21).repeat(3, 1)
    lengths = torch.tensor([20, 12, 5])
    wav[1, 12:] = wav[2, 5:] = float("nan")
    middle = cut(wav, lengths, 8, random=False)
    assert middle[0].tolist() == list(range(7, 15))
    assert middle[2].tolist() == [1, 2, 3, 4, 5, 0, 0, 0]
    starts = {int(cut(wav, lengths, 8, random=True)[1, 0]) for _ in range(200)}
    assert starts == set(range(1, 6))
    assert cut(wav, lengths, 30, random=True).shape == (3, 30)


@pytest.mark.parametrize("codec", [SPECTRAL, TIME_DOMAIN], ids=["spectral", "time_domain"])
def test_losses_and_statistics(codec: dict) -> None:
    mapping = {"codec": codec, **SHORT, "reconstruction": {"stft_weight": 1}}
    config = build(CodecModelConfig, mapping | {"commitment_weight": 0.5, "preview_weight": 2})
    parts = CodecTask.build_parts(config, None)
    model = CodecModel(parts, config, CodecTask.trained(config, parts)).eval()
    speech, lengths = 0.1 * torch.randn(2, 9600), torch.tensor([9600, 7000])
    with torch.no_grad():
        loss, stats, weight = model(speech, lengths)
    expected = stats["mel"] + stats["stft"] + 0.5 * stats["commitment"] + 2 * stats["preview"]
    assert float(loss) == pytest.approx(float(expected), rel=1e-5) and float(weight) == 2
    assert 1 <= float(stats["perplexity"]) <= float(stats["codes_used"]) + 1e-3
    again, _, _ = model(speech, lengths)
    assert float(again) == float(loss)  # validation cuts no dice


def test_training_without_discriminators_learns(corpus: Path, tmp_path: Path) -> None:
    train(corpus, tmp_path / "exp", {}, max_epoch=12, optim_conf={"lr": 0.01})
    state = torch.load(tmp_path / "exp" / "checkpoint.pth", weights_only=True)
    mel = [epoch["valid"]["mel"] for _, epoch in sorted(state["reporter"]["stats"].items())]
    assert len(mel) == 12 and mel[-1] < 0.8 * mel[0]
    codec = read_model([f"{tmp_path / 'exp' / 'valid.mel.ave_1best.pth'}:codec"]).codec
    tokens, _, voice = codec.encode(torch.randn(1, 6000))
    assert codec.decode(tokens, voice).shape == (1, 6000)


def test_training_with_discriminators(corpus: Path, tmp_path: Path) -> None:
    train(corpus, tmp_path / "exp", GAN)
    state = torch.load(tmp_path / "exp" / "checkpoint.pth", weights_only=True)
    assert len(state["optimizers"]) == 2
    assert {key.split(".")[0] for key in state["model"]} == {"codec", "discriminator"}
    names = {path.stem for path in (tmp_path / "exp" / "images").iterdir()}
    assert {"adversarial", "features", "discriminator_loss", "mel", "perplexity"} <= names


@pytest.mark.parametrize("turn", ["codec", "discriminator"])
def test_each_turn_moves_its_own_side(turn: str) -> None:
    from freeze_omni.tasks.codec_gan import GanCodecModel

    config = build(CodecModelConfig, {"codec": SPECTRAL, **SHORT, **GAN})
    parts = CodecTask.build_parts(config, None)
    model = GanCodecModel(parts, config, CodecTask.trained(config, parts)).train()
    speech, lengths = 0.1 * torch.randn(2, 9600), torch.tensor([9600, 7000])
    found = model(speech, lengths, forward_generator=turn == "codec")
    assert found["optim_idx"] == ("codec", "discriminator").index(turn)
    found["loss"].backward()
    other = {"codec", "discriminator"} - {turn}
    assert any(p.grad.any() for p in model.get_submodule(turn).parameters())
    if turn == "discriminator":
        assert all(p.grad is None for p in model.get_submodule(other.pop()).parameters())


def test_discriminators_wait_for_their_start() -> None:
    from freeze_omni.tasks.codec_gan import GanCodecModel

    waits = {"gan": GAN["gan"] | {"start": 0.5}}
    config = build(CodecModelConfig, {"codec": SPECTRAL, **SHORT, **waits})
    parts = CodecTask.build_parts(config, None)
    model = GanCodecModel(parts, config, CodecTask.trained(config, parts)).train()
    batch = 0.1 * torch.randn(2, 9600), torch.tensor([9600, 7000])
    for progress, plays in ((0.4, False), (0.6, True)):
        model.progress = progress
        judged = model(*batch, forward_generator=False)
        copied = model(*batch, forward_generator=True)
        assert (float(judged["loss"].detach()) > 0) == plays
        assert ("adversarial" in copied["stats"]) == plays
