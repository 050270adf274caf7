"""Checkpoints inside an epoch: what a training needs to go on as if it had never been stopped."""

import logging
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from espnet2.torch_utils.safe_torch_load import safe_torch_load
from espnet2.train.reporter import Average, Reporter, SubReporter, WeightedAverage

from freeze_omni.tasks.signals import Caught, Interrupted

INSIDE = "inside"  # key of a checkpoint.pth that was written inside an epoch


class EpochSaver:
    """Writes checkpoint.pth inside an epoch: every `save_steps` updates, and before it ends the training by a signal.

    The file is as ESPnet writes it at the end of the epoch before, with later weights and with INSIDE: the batches
    done, the figures of each, and the random states of all processes. All processes stop at the same update.
    training: the arguments of ESPnet's train_one_epoch. caught: the signals. inside: of the checkpoint to go on from.
    """

    def __init__(self, training: Mapping[str, Any], caught: Caught, inside: Mapping[str, Any] | None = None):
        self.training, self.caught = dict(training), caught
        self.options, self.reporter = training["options"], training["reporter"]
        self.distributed = training["distributed_option"].distributed
        self.batches, self.random = 0, None
        if inside is not None:
            self.batches, self.random = inside["batches"], inside["random"]
            set_figures(self.reporter, inside["figures"])

    def train(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The rest of the epoch's batches. Raises Interrupted, once the update is made and the checkpoint written."""
        iterator = iter(batches)  # draws a seed for its workers
        try:
            self._restore_random()
            self._save_if(False)  # of a signal between two epochs
            for batch in iterator:
                yield batch
                self.batches += 1
                updates, rest = divmod(self.batches, self.options.accum_grad)
                if rest == 0:
                    self._save_if(bool(self.options.save_steps) and updates % self.options.save_steps == 0)
        finally:
            del iterator  # its workers end, also where an exception holds this frame

    def validate(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches of the validation after the epoch. A signal ends it; it is repeated then."""
        for batch in batches:
            yield batch
            self._save_if(False)

    def _restore_random(self) -> None:
        saved, self.random = self.random, None
        if saved is None:
            return
        if len(saved) == self._world:
            set_random_state(saved[torch.distributed.get_rank() if self.distributed else 0])
        else:
            logging.warning(f"{len(saved)} processes wrote the checkpoint: with {self._world} the draws are others")

    @property
    def _world(self) -> int:
        return torch.distributed.get_world_size() if self.distributed else 1

    def _save_if(self, due: bool) -> None:
        signal_number = self._agreed(self.caught.number)
        if due or signal_number:
            self._save()
        if signal_number:
            raise Interrupted(signal_number, f"in epoch {self.reporter.get_epoch()} after {self.batches} batches")

    def _agreed(self, number: int) -> int:
        """The largest of all processes' numbers."""
        if not self.distributed:
            return number
        shared = torch.tensor(number, device="cuda" if self.options.ngpu > 0 else "cpu")
        torch.distributed.all_reduce(shared, torch.distributed.ReduceOp.MAX)
        return int(shared)

    def _save(self) -> None:
        states = [random_state()]
        if self.distributed:
            own, states = states[0], [None] * self._world
            torch.distributed.all_gather_object(states, own)
        if not self.distributed or torch.distributed.get_rank() == 0:
            path = Path(self.options.output_dir) / "checkpoint.pth"
            write_whole(self._state(path, states), path)
            logging.info(f"Saved {path} in epoch {self.reporter.get_epoch()} after {self.batches} batches")
        if self.distributed:
            torch.distributed.barrier()  # who ends now might end the one that writes

    def _state(self, before: Path, random_states: list[Any]) -> dict[str, Any]:
        model, scaler = self.training["model"], self.training["scaler"]
        inside = {"batches": self.batches, "figures": figures(self.reporter), "random": random_states}
        return {
            "model": getattr(model, "module", model).state_dict(),
            "reporter": finished_epochs(before, self.reporter.get_epoch()),
            "optimizers": [one.state_dict() for one in self.training["optimizers"]],
            "schedulers": [one and one.state_dict() for one in self.training["schedulers"]],
            "scaler": scaler and scaler.state_dict(),
            INSIDE: inside,
        }


def finished_epochs(checkpoint: Path, epoch: int) -> dict[str, Any]:
    """State of the reporter of all epochs before this one: by the last checkpoint, as an epoch does not know them."""
    if epoch == 1:
        return Reporter().state_dict()
    return read_checkpoint(checkpoint)["reporter"]


def figures(reporter: SubReporter) -> dict[str, Any]:
    """An epoch's figures so far, each (batches, 1), or (batches, 2) with its weights."""
    values = {
        name: torch.tensor([tuple(vars(one).values()) for one in found], dtype=torch.float64)
        for name, found in reporter.stats.items()
    }
    seconds = time.perf_counter() - reporter.start_time
    return {"values": values, "count": reporter.count, "total_count": reporter.total_count, "seconds": seconds}


def set_figures(reporter: SubReporter, saved: Mapping[str, Any]) -> None:
    for name, rows in saved["values"].items():
        kind = Average if rows.shape[1] == 1 else WeightedAverage
        reporter.stats[name] = [kind(*row) for row in rows.tolist()]
    reporter.count, reporter.total_count = saved["count"], saved["total_count"]
    reporter.start_time -= saved["seconds"]


def random_state() -> dict[str, Any]:
    """Of python, numpy and torch (CPU, and this process's GPU), in types that torch reads with weights_only."""
    name, keys, *rest = np.random.get_state()
    state = {"python": random.getstate(), "numpy": (name, keys.tolist(), *rest), "torch": torch.get_rng_state()}
    return state | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_initialized() else {})


def set_random_state(state: Mapping[str, Any]) -> None:
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint.pth holds, mapped to memory."""
    return safe_torch_load(path, map_location="cpu", mmap=True)


def write_whole(state: Mapping[str, Any], path: Path) -> None:
    """Through a second file, so that a kill never leaves a part of it under its name."""
    part = path.with_name(f"{path.name}.part")
    torch.save(state, part)
    part.replace(path)
