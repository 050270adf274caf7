"""Signals that end a training: noted, passed on to its processes, kept from those that read data."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from freeze_omni.tasks.signals import ENDING, Interrupted, caught_signals, end_with_parent_only, passed_on

FORK = multiprocessing.get_context("fork")


@pytest.mark.parametrize("one", ENDING)
def test_they_are_noted_and_then_handled_as_before(one):
    before = signal.getsignal(one)
    with caught_signals() as caught:
        assert caught.number == 0
        signal.raise_signal(one)
        assert caught.number == one
    assert signal.getsignal(one) is before


def test_the_code_is_that_of_the_shell_and_the_message_says_what_to_do():
    end = Interrupted(signal.SIGUSR1, "in epoch 3 after 20 batches")
    assert end.code == 128 + signal.SIGUSR1
    assert str(end).startswith("ended by SIGUSR1 in epoch 3 after 20 batches; the same command")


def test_without_child_processes_the_training_has_not_begun():
    with pytest.raises(Interrupted, match="before it began"), passed_on():
        signal.raise_signal(signal.SIGTERM)


def _child(ready: Path) -> None:
    """Ends as a training does."""
    signal.signal(signal.SIGUSR1, lambda number, _: sys.exit(128 + number))
    ready.touch()
    time.sleep(60)


@pytest.mark.processes
def test_the_processes_of_a_training_get_them(tmp_path):
    from torch.multiprocessing.spawn import ProcessContext

    child = FORK.Process(target=_child, args=(tmp_path / "ready",))
    child.start()
    _wait_for(tmp_path / "ready")
    with pytest.raises(Interrupted) as end, passed_on():
        os.kill(os.getpid(), signal.SIGUSR1)
        ProcessContext([child], [str(tmp_path / "no error")]).join()
    assert end.value.code == 128 + signal.SIGUSR1


def _reader(ready: Path) -> None:
    end_with_parent_only()
    ready.touch()
    time.sleep(60)


@pytest.mark.processes
def test_a_reader_of_data_ends_by_its_parent_alone(tmp_path):
    reader = FORK.Process(target=_reader, args=(tmp_path / "ready",))
    reader.start()
    _wait_for(tmp_path / "ready")
    stranger = FORK.Process(target=os.kill, args=(reader.pid, signal.SIGTERM))
    stranger.start()
    stranger.join()
    reader.join(0.3)
    assert reader.is_alive()
    reader.terminate()
    reader.join(10)
    assert reader.exitcode == 0


def _wait_for(path: Path) -> None:
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end, f"no {path}"
        time.sleep(0.01)
