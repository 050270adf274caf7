"""Stages 1.1 to 1.3 on a pretrained speech model: from sound, from features computed once, and into one model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from omniio.kaldi import load_scp

from freeze_omni.bin.dump_feats import features, window_chunks
from freeze_omni.bin.dump_feats import main as dump_feats
from freeze_omni.bin.train import main as train
from freeze_omni.checkpoint import read_model
from freeze_omni.config import ConfigError
from freeze_omni.data.tables import read_table
from freeze_omni.frontend.pretrained import PretrainedFrontend
from freeze_omni.session.session import SessionConfig, SpeechSession, TurnDetection

NAMES = ("1.1_pretrained", "1.2_pretrained", "1.3_pretrained")


def dumped(toy, folder: Path, *more: str) -> Path:
    """The toy corpus with features in place of sound."""
    config = toy.options("1.1_pretrained")[1]
    where = ["--data_dir", str(toy.folder / "data"), "--output_dir", str(folder)]
    dump_feats(["--config", config, "--encoder", str(toy.speech_model()), *where, *more])
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_features_computed_once_give_the_loss_of_their_sound(toy, tmp_path, name):
    model, args = toy.build(name)
    model.eval()
    one = toy.batch(name, args)
    folder = dumped(toy, tmp_path, "--model", "frontend.train_chunks=1")
    _, args = toy.build(name)
    args.train_dir = args.valid_dir = [str(folder)]
    other = toy.batch(name, args)
    assert "speech" in one and "speech" not in other and other["feats"].shape[2] == 32
    assert float(model(**other)[0]) == pytest.approx(float(model(**one)[0]), rel=1e-3)


def test_training_changes_nothing_of_the_speech_model(toy, tmp_path):
    folder = dumped(toy, tmp_path / "feats", "--augment", "true")
    options = toy.options("1.1_pretrained", max_epoch=1, num_iters_per_epoch=2)
    given = {"--output_dir": str(tmp_path / "exp"), "--train_dir": str(folder), "--valid_dir": str(folder)}
    for name, value in given.items():
        options[options.index(name) + 1] = value
    train(["encoder", *options])
    state = torch.load(tmp_path / "exp" / "latest.pth", weights_only=True)
    fresh = toy.build("1.1_pretrained")[0].frontend.state_dict()
    assert {key.split(".")[0] for key in state} == {"frontend", "encoder", "ctc", "spelling"}
    assert all(torch.equal(state[f"frontend.{key}"], value) for key, value in fresh.items())
    config = yaml.safe_load((tmp_path / "exp" / "config.yaml").read_text())["model"]
    assert config["frontend"]["model"]["model_type"] == "whisper"
    assert (config["encoder"]["input_size"], config["encoder"]["subsampling"]) == (32, "none")


@pytest.mark.parametrize(("name", "saves"), [(NAMES[1], True), (NAMES[2], False)])
def test_later_stages_hold_the_frozen_speech_model(toy, name, saves):
    """That of 1.2 is saved again, so that its checkpoint transcribes by itself."""
    model, _ = toy.build(name)
    assert not any(parameter.requires_grad for parameter in model.frontend.parameters())
    assert not model.train().frontend.training
    assert any(key.startswith("frontend") for key in model.state_dict()) == saves


def test_a_label_is_read_where_its_sound_is_heard(toy):
    model, args = toy.build("1.3_pretrained")
    batch = toy.batch("1.3_pretrained", args)
    read = []
    model.state_head.register_forward_hook(lambda _, given, out: read.append(given[1]))
    model.eval()(**batch)
    with torch.no_grad():
        summary = model.listen(batch["speech"], batch["speech_lengths"]).adapted.summary
    assert torch.allclose(read[0], summary[:, 1 : 1 + read[0].shape[1]], atol=1e-5)


def test_a_dump_resumes_and_copies_the_tables(toy, tmp_path):
    folder = dumped(toy, tmp_path)
    first = (folder / "feats.0.ark").stat().st_mtime_ns
    (folder / "feats.scp").unlink()
    dumped(toy, folder)
    assert (folder / "feats.0.ark").stat().st_mtime_ns == first
    assert read_table(folder / "text") == read_table(toy.folder / "data" / "text")
    assert not (folder / "wav.scp").exists()
    # 6 chunks of sound and one for the look-ahead, 4 features each
    assert read_table(folder / "utt2num_frames")["utt0"] == "28"


def test_a_development_set_is_computed_as_in_use(toy, tmp_path):
    size = ("--model", "frontend.train_chunks=3")
    longer, in_use = dumped(toy, tmp_path / "long", *size), dumped(toy, tmp_path / "use", *size, "--in_use", "true")
    alone = dumped(toy, tmp_path / "one", "--model", "frontend.train_chunks=1")
    one, other, expected = (load_scp(str(folder / "feats.scp")) for folder in (longer, in_use, alone))
    assert all(np.array_equal(other[uid], expected[uid]) for uid in expected)
    assert not np.allclose(one["utt0"], expected["utt0"], atol=1e-3)


def test_a_share_of_the_training_sounds_is_computed_as_in_use(toy, tmp_path):
    size = ("--model", "frontend.train_chunks=3")
    folders = [
        dumped(toy, tmp_path / share, *size, "--model", f"frontend.train_in_use={share}") for share in ("0.0", "1.0")
    ]
    never, always = (load_scp(str(folder / "feats.scp")) for folder in folders)
    expected = load_scp(str(dumped(toy, tmp_path / "use", *size, "--in_use", "true") / "feats.scp"))
    assert all(np.array_equal(always[uid], expected[uid]) for uid in expected)
    assert not np.allclose(never["utt0"], expected["utt0"], atol=1e-3)
    frontend = toy.build("1.1_pretrained")[0].frontend
    sounds = [torch.randn(4000 + 10 * number) for number in range(20)]
    drawn = [features(frontend, 0.5, 7, [sound])[0] for sound in sounds]
    ways = [[features(frontend, share, 7, [sound])[0] for sound in sounds] for share in (0.0, 1.0)]
    picked = [torch.equal(one, used) for one, used in zip(drawn, ways[1], strict=True)]
    assert all(torch.equal(one, ways[use][n]) for n, (one, use) in enumerate(zip(drawn, picked, strict=True)))
    assert 2 < sum(picked) < 18


def test_windows_of_training_are_of_one_size_and_no_larger_than_needed(toy):
    config = replace(toy.build("1.1_pretrained")[0].frontend.config, train_chunks=5)
    frontend = PretrainedFrontend(config)
    assert config.lookahead_chunks == 1
    wanted = {1: 2, 4: 5, 5: 3, 6: 4, 7: 4, 9: 5, 10: 4}
    assert {chunks: window_chunks(frontend, chunks * frontend.chunk_samples) for chunks in wanted} == wanted


def session(toy, **changes) -> SpeechSession:
    parts = [f"{toy.checkpoint('1.1_pretrained')}:frontend,encoder,ctc"]
    parts += [f"{toy.checkpoint('1.2_pretrained')}:adapter", f"{toy.checkpoint('1.3_pretrained')}:prompt,state_head"]
    model = read_model(parts, toy.folder / "llm", toy.folder / "units")
    assert (model.rates.encoder_downsample, model.rates.frame_shift_ms, model.rates.chunk_samples) == (1, 40, 2560)
    return SpeechSession(model, SessionConfig(speech=False, **changes))


def test_a_turn_ended_by_hand_is_heard_to_its_end(toy):
    """What a session hears of a turn is what the model hears of the whole recording."""
    from freeze_omni.session import events as ev

    spoken = session(toy, turn_detection=TurnDetection.MANUAL, max_new_tokens=2)
    model, wav = spoken.model, np.random.default_rng(0).normal(0, 0.1, 5 * 2560).astype(np.float32)
    heard = []
    model.state_head.register_forward_hook(lambda _, given, out: heard.append(given[1][0, -1]))
    spoken.handle(ev.VadOpened())
    spoken.push(wav)
    spoken.handle(ev.Respond())
    lengths = torch.tensor([len(wav)])
    with torch.no_grad():
        whole = model.listening(*model.listening.with_end(torch.from_numpy(wav)[None], lengths)).adapted.summary[0]
    assert len(heard) == 6 and torch.allclose(torch.stack(heard), whole, atol=1e-4)


def test_a_configuration_without_frontend_refuses_an_encoder_and_the_other_way_round(toy):
    with pytest.raises(ConfigError, match="has no `model: frontend`"):
        toy.build("1.1", encoder=str(toy.speech_model()))
    with pytest.raises(ConfigError, match="give --encoder"):
        toy.build("1.1_pretrained", encoder=None)
