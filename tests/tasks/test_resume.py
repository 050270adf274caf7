"""A training that was ended inside an epoch goes on as if it had not been."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from espnet2.train.reporter import SubReporter

from freeze_omni.bin.train import main
from freeze_omni.tasks.encoder import EncoderModel
from freeze_omni.tasks.epoch_checkpoint import INSIDE, figures, random_state, set_figures, set_random_state, write_whole
from freeze_omni.tasks.trainer import plot_curves, repair_checkpoint
from tests.tasks.corpus import ENCODER
from tests.tasks.test_training import epochs

RANDOM = {"encoder": ENCODER | {"dropout": 0.2}, "augment": {}, "spec_augment": {}, "join": {"utterances": 2}}
CONF = {
    "model": RANDOM,
    "scheduler": "budgetcosine",
    "scheduler_conf": {"warmup_steps": 2},
    "max_epoch": 2,
    "num_iters_per_epoch": 6,
    "valid_batch_size": 1,
    "log_interval": 1,
    "use_matplotlib": False,
    "use_tensorboard": False,
}


def command(toy, folder: Path, **conf) -> list[str]:
    options = toy.options("1.1", **{**CONF, **conf})
    options[options.index("--output_dir") + 1] = str(folder)
    return ["encoder", *options]


class Losses(list):
    """Of each batch whether it trains, and its loss; `does` happens in batch number `at`."""

    at, does = -1, staticmethod(lambda: os.kill(os.getpid(), signal.SIGTERM))


@contextmanager
def recorded() -> Iterator[Losses]:
    found = Losses()

    class Recorded(EncoderModel):
        def forward(self, **batch):
            if len(found) == found.at:
                found.does()
            result = super().forward(**batch)
            found.append((self.training, result[0].item()))
            return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("freeze_omni.tasks.encoder.EncoderModel", Recorded)
        yield found


@pytest.fixture
def losses() -> Iterator[Losses]:
    with recorded() as found:
        yield found


@pytest.fixture(scope="module")
def through(toy, tmp_path_factory) -> Callable[[int], tuple[Losses, dict]]:
    """By accum_grad: what a training that runs through recorded, and its last checkpoint."""

    @cache
    def run(accum_grad: int) -> tuple[Losses, dict]:
        folder = tmp_path_factory.mktemp("through")
        with recorded() as found:
            main(command(toy, folder, accum_grad=accum_grad))
        return found, saved(folder)

    return run


def taken(losses: Losses) -> list[tuple[bool, float]]:
    """What was recorded since the last time."""
    found = list(losses)
    losses.clear()
    losses.at = -1
    return found


def same(found: list[tuple[bool, float]], expected: list[tuple[bool, float]]) -> bool:
    return [trains for trains, _ in found] == [trains for trains, _ in expected] and [
        loss for _, loss in found
    ] == pytest.approx([loss for _, loss in expected], abs=1e-6, rel=0)


def saved(folder: Path) -> dict:
    return torch.load(folder / "checkpoint.pth", weights_only=True)


@pytest.mark.parametrize(  # an epoch is 6 batches of training and 4 of validation
    ("at", "accum_grad", "batches"),
    [(2, 2, 4), (12, 1, 3), (7, 1, 6), (18, 1, 6)],
    ids=["accumulated", "second epoch", "validation", "last validation"],
)
def test_a_signal_ends_it_after_the_update_and_the_next_losses_are_the_same(
    toy, tmp_path, losses, through, capsys, at, accum_grad, batches
):
    (whole, last), losses.at = through(accum_grad), at
    ended = command(toy, tmp_path / "ended", accum_grad=accum_grad)
    with pytest.raises(SystemExit) as end:
        main(ended)
    told, epoch = capsys.readouterr().err.splitlines()[-1], at // 10 + 1
    assert end.value.code == 128 + signal.SIGTERM
    assert told.startswith(f"train encoder: error: ended by SIGTERM in epoch {epoch} after {batches} batches; the same")
    state = saved(tmp_path / "ended")
    assert state[INSIDE]["batches"] == batches and state["reporter"]["epoch"] == epoch - 1
    before = taken(losses)
    main(ended)
    assert same(before[: 10 * (epoch - 1) + batches] + losses, whole)
    state = saved(tmp_path / "ended")
    assert INSIDE not in state and epochs(tmp_path / "ended") == [1, 2]
    for number in (1, 2):  # of the whole epoch, also of the batches before the end
        whole_epoch, its = (one["reporter"]["stats"][number]["train"] for one in (last, state))
        assert its["loss"] == pytest.approx(whole_epoch["loss"], abs=1e-6)
        assert its["total_count"] == whole_epoch["total_count"] == 6 * number


class Killed(BaseException):
    """As kill -9: nothing is written after it."""


def test_a_kill_loses_what_came_after_the_last_save_steps(toy, tmp_path, losses, through):
    (whole, _), losses.at = through(1), 5

    def kill() -> None:
        raise Killed

    losses.does = kill
    killed = command(toy, tmp_path / "killed", save_steps=2)
    with pytest.raises(Killed):
        main(killed)
    assert saved(tmp_path / "killed")[INSIDE]["batches"] == 4
    before = taken(losses)
    main(killed)
    assert same(before[:4] + losses, whole)


def test_random_states_survive_a_file(tmp_path):
    torch.save(random_state(), tmp_path / "state")
    drawn = random.random(), np.random.random(), float(torch.rand(()))
    set_random_state(torch.load(tmp_path / "state", weights_only=True))
    assert (random.random(), np.random.random(), float(torch.rand(()))) == drawn


def test_figures_go_on_counting():
    def count(reporter: SubReporter, numbers: range) -> None:
        for number in numbers:
            reporter.register({"loss": float(number)}, weight=number + 1.0)
            if number % 2:
                reporter.register({"rate": number / 2})
            reporter.next()

    whole, begun, rest = (SubReporter("train", 2, 10) for _ in range(3))
    count(whole, range(5))
    count(begun, range(3))
    set_figures(rest, figures(begun))
    count(rest, range(3, 5))
    assert rest.log_message() == whole.log_message() and rest.get_total_count() == 15
    assert rest.start_time < begun.start_time + 1


def test_a_broken_checkpoint_gives_way_to_one_inside_the_epoch(tmp_path):
    inside = {"reporter": {"epoch": 0, "stats": {}}, "model": {}, INSIDE: {"batches": 3}}
    write_whole(inside, tmp_path / "checkpoint.previous.pth")
    (tmp_path / "checkpoint.pth").write_bytes(b"PK")
    (tmp_path / "checkpoint.pth.part").write_bytes(b"PK")  # killed while it was written
    repair_checkpoint(tmp_path)
    assert saved(tmp_path)[INSIDE] == {"batches": 3}
    plot_curves(tmp_path)  # of no epoch
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pth"]


def test_save_steps_counts_from_one(toy, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(command(toy, tmp_path, save_steps=0))
    assert end.value.code == 2 and "1.1.yaml: save_steps: 0 updates; give 1 or more" in capsys.readouterr().err


@pytest.mark.processes
def test_two_processes_stop_at_the_same_update_and_go_on(toy, tmp_path, start):
    """One gets the signal, both end; the draws of each go on."""

    def both(folder: Path) -> list:
        words = command(toy, folder, num_iters_per_epoch=40, max_epoch=1, valid_batch_size=2)
        words += ["--dist_backend", "gloo", "--dist_init_method", f"file://{tmp_path}/meeting_{time.monotonic_ns()}"]
        return [start([*words, "--dist_world_size", "2", "--dist_rank", str(rank)]) for rank in range(2)]

    def codes(processes: list) -> list[int]:
        for process in processes:
            process.join(120)
        return [process.exitcode for process in processes]

    assert codes(both(tmp_path / "whole")) == [0, 0]
    ended = both(tmp_path / "ended")
    log, deadline = tmp_path / "ended/train.log", time.monotonic() + 120
    while not (log.exists() and "1epoch:train:9-9batch" in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(ended[1].pid, signal.SIGUSR1)
    assert codes(ended) == [128 + signal.SIGUSR1] * 2
    inside = saved(tmp_path / "ended")[INSIDE]
    assert 9 <= inside["batches"] < 40
    assert not torch.equal(*(state["torch"] for state in inside["random"]))
    assert codes(both(tmp_path / "ended")) == [0, 0]
    one, other = (saved(tmp_path / name) for name in ("whole", "ended"))
    torch.testing.assert_close(other["model"], one["model"], rtol=0, atol=1e-6)
