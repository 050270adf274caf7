"""SIGTERM and SIGUSR1 (Slurm's preemption) end a training after the present update, with a checkpoint."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

ENDING = (signal.SIGTERM, signal.SIGUSR1)


class Interrupted(SystemExit):
    """A training that a signal has ended. Its code is the shell's, 128 + signal: not finished, run it again."""

    def __init__(self, number: int, where: str = "in one of its processes"):
        name = signal.Signals(number).name
        super().__init__(f"ended by {name} {where}; the same command goes on from the last checkpoint")
        self.code = 128 + number


class Caught:
    """The last of the signals that came: its number, or 0."""

    number = 0

    def __call__(self, number: int, _: object) -> None:
        self.number = number


@contextmanager
def caught_signals() -> Iterator[Caught]:
    """The signals are only noted. To be used in the main thread."""
    caught = Caught()
    with _handled_by(caught):
        yield caught


@contextmanager
def passed_on() -> Iterator[None]:
    """While child processes train: they get the signals, and this process waits for them. Raises Interrupted."""
    from torch.multiprocessing import ProcessExitedException

    def pass_on(number: int, _: object) -> None:
        children = multiprocessing.active_children()
        if not children:
            raise Interrupted(number, "before it began")
        for child in children:
            os.kill(child.pid, number)

    try:
        with _handled_by(pass_on):
            yield
    except ProcessExitedException as error:
        number = abs(error.exit_code) % 128  # of 128 + signal, or of -signal where it came too early
        if number in ENDING:
            raise Interrupted(number) from None
        raise


def end_with_parent_only() -> None:
    """In a process that reads data: leave these signals to the trainer, who may get them together with all others."""
    trainer = multiprocessing.parent_process()
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)

    def wait() -> None:
        while signal.sigwaitinfo(ENDING).si_pid != trainer.pid:
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def _handled_by(handler: Callable[[int, Any], None]) -> Iterator[None]:
    before = {one: signal.signal(one, handler) for one in ENDING}
    try:
        yield
    finally:
        for one, former in before.items():
            signal.signal(one, former)
