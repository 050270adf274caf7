"""Where a job computes, and which part of a map: options that change nothing in its result."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from freeze_omni.config import ConfigError
from freeze_omni.data.parts import WHOLE, LeftToOthers, Part, PartDone

if TYPE_CHECKING:
    import torch


def add_part(parser: argparse.ArgumentParser) -> None:
    text = "do only this part, as job JOB of JOB=1:8; the same command without it merges"
    parser.add_argument("--part", type=_part, default=WHOLE, metavar="JOB/8", help=text)


def add_device(parser: argparse.ArgumentParser) -> None:
    text = "cpu, cuda, cuda:1, mps; cuda with --part: the GPUs of a machine in turn [%(default)s]"
    parser.add_argument("--device", default="cpu", help=text)


def device_of(device: str, part: Part = WHOLE) -> torch.device:
    """The device that an option names; `cuda`: the GPU of this part's turn. Raises ConfigError: it is not there."""
    import torch  # a command that only cuts sound starts without it

    try:
        found = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"--device {device}: no such kind of device; give cpu, cuda, cuda:1 or mps") from None
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"--device {device}: torch finds no such device here; give cpu")
    if found.type != "cuda":
        return found
    gpus = torch.cuda.device_count()
    if not gpus:
        raise ConfigError(f"--device {device}: torch finds no GPU here (see nvidia-smi); give cpu")
    if found.index is None:
        return torch.device("cuda", (part.number - 1) % gpus)
    if found.index >= gpus:
        raise ConfigError(f"--device {device}: there are {gpus} GPUs here, counted from 0")
    return found


@contextmanager
def one_part() -> Iterator[None]:
    """Around a piece of work: a job of an array ends it after its share, and says if there is a next turn."""
    try:
        yield
    except LeftToOthers as left:
        print(left, flush=True)
    except PartDone:
        pass


def _part(text: str) -> Part:
    try:
        return Part.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
