"""Stage 2.1: cuts, losses, statistics, trainings with and without discriminators."""

from __future__ import annotations

import os
import signal
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from freeze_omni.bin.train import main
from freeze_omni.checkpoint import read_model
from freeze_omni.codec.losses import ReconstructionConfig, ReconstructionLoss
from freeze_omni.config import build
from freeze_omni.tasks.codec import CodecModel, CodecModelConfig, CodecTask, GanCodecModel, cut
from tests.contract.parts.codec import SPECTRAL, TIME_DOMAIN

PERIODS = {"periods": [2, 3], "discriminator_params": {"channels": 4, "max_downsample_channels": 8}}
GAN = {"gan": {"discriminator": "multi_period", "discriminator_conf": PERIODS}}
SCALES = {"scale_discriminator_params": {"channels": 8, "max_downsample_channels": 8, "max_groups": 4}}
JUDGES = {"scales": 2, "periods": [2, 3], "period_discriminator_params": PERIODS["discriminator_params"], **SCALES}
TICODEC = {
    "codec": TIME_DOMAIN,
    "commitment": "mean",
    "commitment_weight": 2.5,
    "time_invariance_weight": 5.0,
    "reconstruction": {"windows_samples": [1024, 256], "mel_bins": [40, 20], "weights": [45, 1]},
    "gan": {"discriminator": "ticodec", "discriminator_conf": {**JUDGES, "stft": {"filters": 2}}, "summed": True},
}
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


def command(corpus: Path, folder: Path, model: dict, **more) -> list[str]:
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
    return ["codec", *options, "--train_dir", str(corpus), "--valid_dir", str(corpus)]


def train(corpus: Path, folder: Path, model: dict, **more) -> None:
    main(command(corpus, folder, model, **more))


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


def test_both_sides_go_on_where_a_signal_ended_them(corpus: Path, tmp_path: Path, monkeypatch) -> None:
    train(corpus, tmp_path / "whole", GAN, num_iters_per_epoch=5)
    turn, turns = GanCodecModel.forward, count()

    def ending(self, *args, **batch):
        if next(turns) == 4:  # the first turn of the third batch
            os.kill(os.getpid(), signal.SIGTERM)
        return turn(self, *args, **batch)

    monkeypatch.setattr(GanCodecModel, "forward", ending)
    with pytest.raises(SystemExit):
        train(corpus, tmp_path / "ended", GAN, num_iters_per_epoch=5)
    first, second = (tmp_path / name / "checkpoint.pth" for name in ("whole", "ended"))
    assert torch.load(second, weights_only=True)["inside"]["batches"] == 3
    train(corpus, tmp_path / "ended", GAN, num_iters_per_epoch=5)
    whole, ended = (torch.load(path, weights_only=True)["model"] for path in (first, second))
    torch.testing.assert_close(ended, whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("turn", ["codec", "discriminator"])
def test_each_turn_moves_its_own_side(turn: str) -> None:
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


def ticodec(**more: object) -> GanCodecModel:
    torch.manual_seed(1)
    config = build(CodecModelConfig, {**SHORT, **TICODEC, **more})
    parts = CodecTask.build_parts(config, None)
    return GanCodecModel(parts, config, CodecTask.trained(config, parts)).train()


def test_ticodec_losses_are_sums_and_its_commitment_a_mean() -> None:
    """By hand, from the parts of the model: what the published source adds up."""
    model = ticodec()
    speech, lengths = 0.1 * torch.randn(2, 9600), torch.tensor([9600, 7000])
    _, copied, _ = model._made = model._copy(speech, lengths)
    stats = model(speech, lengths, forward_generator=True)["stats"]
    target = model.discriminator
    judged, true = (target(sound[:, None]) for sound in (copied.wav, speech[:, :4800]))
    assert len(judged) == 2 + 2 + 3  # scales, periods, STFTs
    assert float(stats["adversarial"]) == pytest.approx(
        sum(float((1 - one[-1]).square().mean()) for one in judged), rel=0.05
    )
    assert float(copied.mean_commitment) < float(copied.commitment)
    assert float(stats["commitment"]) == pytest.approx(float(copied.mean_commitment))
    assert 0 <= float(stats["voice_variance"]) <= 2 and len(true) == len(judged)


def test_a_mean_commitment_is_the_sum_over_the_width_of_a_code() -> None:
    codec = ticodec().codec
    wav = 0.1 * torch.randn(3, 4800)
    passed = codec(wav, wav, torch.tensor([4800, 4800, 2000]))
    codec.global_quantiser = None
    alone = codec(wav, wav, torch.tensor([4800, 4800, 2000]))
    assert float(alone.commitment) == pytest.approx(512 * float(alone.mean_commitment), rel=1e-5)
    assert float(passed.mean_commitment) > float(alone.mean_commitment)


def test_weights_of_windows_are_summed() -> None:
    wav, target = 0.1 * torch.randn(2, 2, 4800)
    windows = {"windows_samples": (1024, 256), "mel_bins": (40, 20)}
    mean = ReconstructionLoss(ReconstructionConfig(**windows), 24000)(wav, target)["loss"]
    halves = ReconstructionLoss(ReconstructionConfig(**windows, weights=(0.5, 0.5)), 24000)(wav, target)["loss"]
    assert float(mean) == pytest.approx(float(halves), rel=1e-5)
    with pytest.raises(ValueError, match="as many entries"):
        ReconstructionConfig(**windows, weights=(1.0,))


def test_validation_of_a_copy_does_not_ask_its_judges() -> None:
    model = ticodec().eval()
    batch = 0.1 * torch.randn(2, 9600), torch.tensor([9600, 7000])
    with torch.no_grad():
        before = model(*batch)
        for parameter in model.discriminator.parameters():
            parameter.mul_(2)
        after = model(*batch)
    assert before["loss"] == after["loss"] and before["stats"]["adversarial"] != after["stats"]["adversarial"]


@pytest.mark.processes
def test_two_processes_train_with_ticodecs_losses(corpus: Path, tmp_path: Path, start) -> None:
    """DDP, with clips that are shorter than the reference, each of another length."""
    both = command(corpus, tmp_path / "exp", {**TICODEC, "reference_s": 0.45}, batch_size=4, grad_clip=-1.0)
    both += ["--dist_backend", "gloo", "--dist_init_method", f"file://{tmp_path}/meeting", "--dist_world_size", "2"]
    processes = [start([*both, "--dist_rank", str(rank)]) for rank in range(2)]
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(torch.load(tmp_path / "exp/2epoch.pth", weights_only=True)) > 0
