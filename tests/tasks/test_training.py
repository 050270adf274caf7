"""Whole trainings of toy size: records, averaging, resume after a kill, two processes, wrong options."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest
import torch
import yaml

from freeze_omni.bin.train import main
from freeze_omni.tasks.trainer import repair_checkpoint
from tests.tasks.corpus import ENCODER

BUDGET = {"scheduler": "budgetcosine", "scheduler_conf": {"warmup_steps": 2}}
SHORT = {**BUDGET, "num_iters_per_epoch": 3, "keep_nbest_models": 2}


def run(toy, name: str, folder: Path, *more: str, task: str = "encoder", **conf) -> None:
    options = toy.options(name, **{**SHORT, **conf})
    options[options.index("--output_dir") + 1] = str(folder)
    main([task, *options, *more])


def epochs(folder: Path) -> list[int]:
    """The epochs of the log, in order."""
    log = (folder / "train.log").read_text()
    return [int(number) for number in re.findall(r" (\d+)epoch results", log)]


def test_folder_holds_everything_a_result_needs(toy, tmp_path):
    run(toy, "1.1", tmp_path, max_epoch=3)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert config["model"]["encoder"]["chunk_frames"] == 4  # a default, resolved
    (record,) = yaml.safe_load((tmp_path / "env.yaml").read_text())
    assert {"command", "commit", "versions", "machine"} <= set(record)
    assert epochs(tmp_path) == [1, 2, 3]
    assert {"loss.png", "unit_error.png"} <= {p.name for p in (tmp_path / "images").iterdir()}
    assert list((tmp_path / "tensorboard" / "train").iterdir())
    state = torch.load(tmp_path / "valid.loss.ave.pth", weights_only=True)
    assert {key.split(".")[0] for key in state} == {"encoder", "ctc", "spelling"}
    averaged = (tmp_path / "valid.loss.ave.pth").resolve().name
    assert averaged == "valid.loss.ave_2best.pth"


def test_statistics_become_the_normalisation(toy, tmp_path):
    run(toy, "1.1", tmp_path / "stats", "--collect_stats", "true")
    stats = tmp_path / "stats" / "train" / "feats_stats.npz"
    run(toy, "1.1", tmp_path / "exp", "--cmvn", str(stats), max_epoch=1)
    state = torch.load(tmp_path / "exp" / "valid.loss.ave.pth", weights_only=True)
    assert (state["encoder.cmvn.mean"] > 1).all() and (state["encoder.cmvn.istd"] != 1).all()


def test_budget_of_time_ends_the_training_and_stays_spent(toy, tmp_path):
    run(toy, "1.1", tmp_path, max_epoch=1000, max_minutes=0.01)
    first = epochs(tmp_path)
    assert 1 <= len(first) < 100
    checkpoint = torch.load(tmp_path / "checkpoint.pth", weights_only=True)
    assert checkpoint["optimizers"][0]["param_groups"][0]["lr"] == 0
    run(toy, "1.1", tmp_path, max_epoch=1000, max_minutes=0.01)
    assert epochs(tmp_path) == first and (tmp_path / "valid.loss.ave.pth").exists()


def test_goes_on_from_the_last_whole_checkpoint(toy, tmp_path):
    run(toy, "1.1", tmp_path, max_epoch=3, keep_nbest_models=5)
    for broken in ("checkpoint.pth", "3epoch.pth"):
        with (tmp_path / broken).open("r+b") as stream:
            stream.truncate(1000)  # killed, or the disk was full
    run(toy, "1.1", tmp_path, max_epoch=4, keep_nbest_models=5)
    assert epochs(tmp_path) == [1, 2, 3, 3, 4]
    assert (tmp_path / "valid.loss.ave.pth").exists()


def test_without_any_whole_checkpoint_it_says_so(tmp_path):
    repair_checkpoint(tmp_path)
    (tmp_path / "checkpoint.pth").write_bytes(b"PK")
    with pytest.raises(RuntimeError, match="no whole checkpoint is left; remove"):
        repair_checkpoint(tmp_path)


def test_a_wrong_key_is_named_before_anything_is_done(toy, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        run(toy, "1.1", tmp_path, model={"encoder": {"sise": 4}})
    told = capsys.readouterr().err
    assert end.value.code == 2 and "unknown key 'sise'; did you mean 'size'?" in told
    assert "1.1.yaml: model: encoder" in told and not list(tmp_path.iterdir())
    with pytest.raises(SystemExit) as end:
        run(toy, "1.1", tmp_path, max_epochs=4)
    assert end.value.code == 2 and "max_epochs" in capsys.readouterr().err


def test_an_unknown_task_lists_the_known(capsys):
    with pytest.raises(SystemExit, match="encoder +stage 1.1"):
        main(["asr"])


def command(toy, folder: Path, **conf) -> list[str]:
    options = toy.options("1.1", **{**SHORT, **conf})
    options[options.index("--output_dir") + 1] = str(folder)
    return ["encoder", *options]


@pytest.mark.processes
def test_resumes_after_kill_9(toy, tmp_path, start):
    process = start(command(toy, tmp_path, max_epoch=400, num_iters_per_epoch=2))
    end = time.monotonic() + 120
    while not (tmp_path / "checkpoint.previous.pth").exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    before = epochs(tmp_path)
    run(toy, "1.1", tmp_path, max_epoch=before[-1] + 3, num_iters_per_epoch=2)
    after = epochs(tmp_path)[len(before) :]
    assert after[0] in (before[-1], before[-1] + 1) and after[-1] == before[-1] + 3
    assert (tmp_path / "valid.loss.ave.pth").exists()


STILL = ENCODER | {"dropout": 0.0, "layers": 2}  # nothing random, so that both can be compared
LETTERS_FIRST = {
    "model": {"encoder": STILL, "spelling": {"layer": 1, "alone": 0.5}},  # the first of two epochs
    "unused_parameters": True,
}


@pytest.mark.processes
@pytest.mark.parametrize("conf", [{"model": {"encoder": STILL}}, LETTERS_FIRST], ids=["units", "letters first"])
def test_two_processes_train_as_one(toy, tmp_path, start, conf):
    """DDP of two CPU processes: the same weights as one process with the same batches."""
    conf = {"max_epoch": 2, "max_minutes": 10.0, **conf}
    two = command(toy, tmp_path / "two", **conf)
    two += ["--dist_backend", "gloo", "--dist_init_method", f"file://{tmp_path}/meeting", "--dist_world_size", "2"]
    both = [start([*two, "--dist_rank", str(rank)]) for rank in range(2)]
    run(toy, "1.1", tmp_path / "one", **conf)
    for process in both:
        process.join(300)
    assert [process.exitcode for process in both] == [0, 0]
    assert epochs(tmp_path / "two") == epochs(tmp_path / "one") == [1, 2]
    one, two = (torch.load(tmp_path / name / "2epoch.pth", weights_only=True) for name in ("one", "two"))
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-3, atol=1e-4)


@pytest.mark.processes
def test_two_processes_with_a_sharded_llm_train_as_with_a_whole_one(toy, tmp_path, start):
    """FSDP2 of two CPU processes under DDP: the same weights, and none of the LLM's in a checkpoint."""
    found = {}
    for name, more in {"whole": {}, "sharded": {"llm_sharding": True, "llm_checkpointing": True}}.items():
        options = toy.options("1.3", **{**SHORT, "max_epoch": 2, "max_minutes": 10.0, **more})
        options[options.index("--output_dir") + 1] = str(tmp_path / name)
        meeting = f"file://{tmp_path}/meeting_{name}"
        options += ["--dist_backend", "gloo", "--dist_init_method", meeting, "--dist_world_size", "2"]
        both = [start(["dialogue", *options, "--dist_rank", str(rank)]) for rank in range(2)]
        for process in both:
            process.join(300)
        assert [process.exitcode for process in both] == [0, 0]
        found[name] = torch.load(tmp_path / name / "2epoch.pth", weights_only=True)
    assert {key.split(".")[0] for key in found["sharded"]} == {"prompt", "state_head"}
    torch.testing.assert_close(found["sharded"], found["whole"], rtol=1e-3, atol=1e-5)


def test_one_process_cannot_shard_an_llm(toy, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        run(toy, "1.3", tmp_path, task="dialogue", max_epoch=1, llm_sharding=True)
    assert end.value.code == 2
    assert "1.3.yaml: llm_sharding: there is one process: take --ngpu 2 or more" in capsys.readouterr().err
