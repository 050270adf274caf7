"""Stage 1.0: a speech model is taught its own features of whole recordings, and the next stages hear what it became."""

from __future__ import annotations

import pytest
import torch
import yaml
from omniio.kaldi import load_scp

from freeze_omni.bin.dump_feats import main as dump_feats
from freeze_omni.bin.train import main as train
from freeze_omni.config import ConfigError

FRONTEND = {"left_s": 0.32, "lookahead_chunks": 1}


def options(toy, folder, **more) -> list[str]:
    found = toy.options("1.0", **more)
    found[found.index("--output_dir") + 1] = str(folder)
    return found


def test_its_features_come_closer_to_those_of_the_whole_recording(toy):
    model, args = toy.build("1.0", optim_conf={"lr": "3e-3"})
    batch = toy.batch("1.0", args)
    model.train()
    assert not model.frontend.training and not model.teacher.training
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=3e-3)
    losses = []
    for _ in range(30):
        loss = model(**batch)[0]
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.7 * losses[0]


def test_positions_and_the_teacher_stay_as_they_are(toy):
    model, args = toy.build("1.0")
    model(**toy.batch("1.0", args))[0].backward()
    assert all(weight.grad is None for weight in model.teacher.parameters())
    assert model.frontend.model.net.embed_positions.weight.grad is None
    assert not any(key.startswith("teacher") for key in model.state_dict())


def test_of_long_recordings_the_beginning_is_taken(toy):
    model, args = toy.build("1.0", model={"frontend": FRONTEND | {"context": "cached"}, "most_s": 0.32})
    batch = toy.batch("1.0", args)
    cut = {"speech": batch["speech"][:, :5120], "speech_lengths": batch["speech_lengths"].clamp_max(5120)}
    assert model(**batch)[0].item() == pytest.approx(model(**cut)[0].item(), rel=1e-6)


def test_the_next_stage_hears_the_adapted_model(toy, tmp_path):
    """The published weights are not those that make the features."""
    train(["frontend", *options(toy, tmp_path / "exp", max_epoch=1, num_iters_per_epoch=3)])
    adapted = str(tmp_path / "exp" / "valid.loss.ave.pth:frontend")
    config = toy.options("1.1_adapted", init_parts=[])[1]
    where = ["--config", config, "--encoder", str(toy.speech_model()), "--data_dir", str(toy.folder / "data")]
    dump_feats([*where, "--output_dir", str(tmp_path / "one"), "--init_parts", adapted])
    dump_feats([*where, "--output_dir", str(tmp_path / "other"), "--init_parts", f"{toy.checkpoint('1.0')}:frontend"])
    one, other = (load_scp(str(tmp_path / name / "feats.scp")) for name in ("one", "other"))
    assert set(one) == set(other)
    assert all(abs(one[uid] - other[uid]).max() > 1e-3 for uid in one)


@pytest.mark.parametrize("context", ["windows", "cached"])
def test_a_model_that_hears_windows_or_has_a_transcriber_stays_as_it_is_published(toy, tmp_path, context):
    model = {"frontend": FRONTEND | {"context": context}, "as_published": context == "cached"}
    train(["frontend", *options(toy, tmp_path / "exp", model=model)])
    state = torch.load(tmp_path / "exp" / "valid.loss.ave.pth", weights_only=True)
    published = toy.build("1.1_pretrained")[0].frontend.state_dict()
    assert {key: value.tolist() for key, value in published.items()} == {
        key.removeprefix("frontend."): value.tolist() for key, value in state.items()
    }
    described = yaml.safe_load((tmp_path / "exp" / "config.yaml").read_text())["model"]["frontend"]
    assert (described["context"], described["model"]["model_type"]) == (context, "whisper")


def test_it_says_what_it_needs(toy):
    with pytest.raises(ConfigError, match="give --encoder"):
        toy.build("1.0", encoder=None)
    with pytest.raises(ConfigError, match="needs lookahead_chunks of 1 or more"):
        toy.build("1.0", model={"frontend": FRONTEND | {"context": "cached", "lookahead_chunks": 0}})
