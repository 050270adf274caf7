"""ESPnet's trainers with a time budget, and with checkpoints that survive a kill, also inside an epoch."""

import argparse
import logging
import math
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from espnet2.schedulers.abs_scheduler import AbsBatchStepScheduler
from espnet2.train.gan_trainer import GANTrainer
from espnet2.train.reporter import Reporter
from espnet2.train.trainer import Trainer, TrainerOptions

from freeze_omni.data.lock import claim
from freeze_omni.tasks.batches import SeededIterFactory
from freeze_omni.tasks.epoch_checkpoint import INSIDE, EpochSaver, read_checkpoint
from freeze_omni.tasks.signals import Caught, caught_signals

PLOT_EVERY_S = 600.0
NO_CURVE = ("time", "loss_scale", "clip")  # endings of figures without a curve
SLOWEST = 4.0  # `min_steps` makes a training at most so many times as long as its minutes


class BudgetCosine(AbsBatchStepScheduler):
    """Linear warm-up, then a cosine from the peak to `final_scale` of it at the end of the budget.

    The position on the cosine is the larger of steps done / max_steps and seconds spent / max_minutes, so a training
    takes a known time on any machine, or, with min_steps, has learned as much on a slow one. Time spent is part of the
    state: a resumed training has what was left. In distributed training the clock is that of rank 0.
    warmup_steps: updates until the peak rate. max_steps, max_minutes: updates, and wall-clock minutes of training and
    validation, in all; None for no limit. min_steps: updates until which the minutes stretch, up to SLOWEST times.
    final_scale: the last rate as a share of the peak. clock: monotonic seconds.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        warmup_steps: int = 100,
        max_steps: int | None = None,
        max_minutes: float | None = None,
        min_steps: int | None = None,
        final_scale: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        if max_steps is None and max_minutes is None:
            raise ValueError("budgetcosine needs max_steps, max_minutes, or max_epoch with num_iters_per_epoch")
        self.optimizer, self.clock = optimizer, clock
        self.warmup_steps, self.final_scale = warmup_steps, final_scale
        self.max_steps, self.max_minutes, self.min_steps = max_steps, max_minutes, min_steps
        self.step_num, self.elapsed_s = 0, 0.0
        self._last_s: float | None = None
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._set_rates()

    @property
    def progress(self) -> float:
        """Share of the budget that is used, 0 to 1."""
        by_steps = self.step_num / self.max_steps if self.max_steps else 0.0
        by_time = self.elapsed_s / (60 * self.max_minutes) if self.max_minutes else 0.0
        if self.min_steps:
            by_time = max(min(by_time, self.step_num / self.min_steps), by_time / SLOWEST)
        return min(1.0, max(by_steps, by_time))

    @property
    def finished(self) -> bool:
        return self.progress >= 1.0

    def start(self) -> None:
        """Start the clock (building models is not training)."""
        self._last_s = self.clock()

    def step(self, epoch: int | None = None) -> None:
        self.step_num += 1
        self._spend()
        self._set_rates()

    def scale(self) -> float:
        """The present rate as a share of the peak."""
        cosine = 0.5 * (1 + math.cos(math.pi * self.progress))
        warmup = min(1.0, (self.step_num + 1) / max(1, self.warmup_steps))
        return warmup * (self.final_scale + (1 - self.final_scale) * cosine)

    def state_dict(self) -> dict[str, Any]:
        return {"step_num": self.step_num, "elapsed_s": self.elapsed_s}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step_num, self.elapsed_s = state["step_num"], state["elapsed_s"]
        self._set_rates()

    def __repr__(self) -> str:
        budget = f"{self.max_steps=}, {self.max_minutes=}, {self.min_steps=}"
        return f"BudgetCosine({self.warmup_steps=}, {budget})".replace("self.", "")

    def _spend(self) -> None:
        now = self.clock()
        if self._last_s is not None:
            self.elapsed_s += now - self._last_s
        self._last_s = now
        if self.max_minutes and torch.distributed.is_available() and torch.distributed.is_initialized():
            device = self.optimizer.param_groups[0]["params"][0].device
            shared = torch.tensor(self.elapsed_s, dtype=torch.float64, device=device)
            torch.distributed.broadcast(shared, src=0)
            self.elapsed_s = float(shared)

    def _set_rates(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self.scale()


def until_spent[T](
    batches: Iterable[T], schedulers: Iterable[object], model: Any, by_epochs: float = 0.0
) -> Iterator[T]:
    """The batches, until the budget of any of the schedulers has run out; `model.progress` is set before each.

    by_epochs: share of the epochs that are over, which is the progress if no scheduler has a budget.
    """
    budgets = _budgets(schedulers)
    for batch in batches:
        if any(budget.finished for budget in budgets):
            return
        model.progress = max((budget.progress for budget in budgets), default=by_epochs)
        yield batch


def _budgets(schedulers: Iterable[object]) -> list[BudgetCosine]:
    return [scheduler for scheduler in schedulers if isinstance(scheduler, BudgetCosine)]


class BudgetTraining:
    """A mix-in for ESPnet's trainers: ends with the budget, keeps the last whole checkpoint, goes on inside an epoch.
    Draws curves at the end and every ten minutes: after every epoch they took longer than a short epoch."""

    plotted_s = 0.0
    caught = Caught()
    inside: Mapping[str, Any] | None = None  # of the checkpoint that the first epoch goes on from
    saver: EpochSaver

    @classmethod
    def build_options(cls, args: argparse.Namespace) -> TrainerOptions:
        options = super().build_options(args)  # type: ignore[misc]
        options.save_steps = args.save_steps
        return options

    @classmethod
    def run(cls, **kwargs: Any) -> None:
        options, schedulers = kwargs["trainer_options"], kwargs["schedulers"]
        distributed, folder = kwargs["distributed_option"], Path(options.output_dir)
        if _is_first(distributed):
            claim(folder)
        cls.inside = resume_point(folder, options, distributed, schedulers) if options.resume else None
        skip = 0 if cls.inside is None else cls.inside["batches"]
        kwargs["train_iter_factory"] = SeededIterFactory(kwargs["train_iter_factory"], options.seed, skip)
        kwargs["valid_iter_factory"] = SeededIterFactory(kwargs["valid_iter_factory"], options.seed)
        cls.plotted_s = time.monotonic()
        wants_curves, options.use_matplotlib = options.use_matplotlib, False
        for budget in _budgets(schedulers):
            budget.start()
        with caught_signals() as cls.caught:
            super().run(**kwargs)  # type: ignore[misc]
        if wants_curves and _is_first(distributed):
            plot_curves(folder)

    @classmethod
    def train_one_epoch(cls, **kwargs: Any) -> bool:
        model, schedulers, resumed = kwargs["model"], kwargs["schedulers"], cls.inside is not None
        cls.saver, cls.inside = EpochSaver(kwargs, cls.caught, cls.inside), None
        batches = cls.saver.train(kwargs["iterator"])
        by_epochs = (kwargs["reporter"].epoch - 1) / kwargs["options"].max_epoch
        kwargs["iterator"] = until_spent(batches, schedulers, getattr(model, "module", model), by_epochs)
        stopped = super().train_one_epoch(**kwargs)  # type: ignore[misc]
        if any(budget.finished for budget in _budgets(schedulers)):
            logging.info("The budget is spent: this epoch is the last")
            kwargs["options"].patience = -1  # ends the trainer after this epoch is validated and saved
        return stopped and not resumed  # of which nothing may have been left

    @classmethod
    def validate_one_epoch(cls, **kwargs: Any) -> None:
        kwargs["iterator"] = cls.saver.validate(kwargs["iterator"])
        super().validate_one_epoch(**kwargs)  # type: ignore[misc]
        if _is_first(kwargs["distributed_option"]):
            folder = Path(kwargs["options"].output_dir)
            if (current := folder / "checkpoint.pth").exists():
                # ESPnet overwrites it next: one of the two is always whole
                current.replace(folder / "checkpoint.previous.pth")
            if time.monotonic() - cls.plotted_s > PLOT_EVERY_S:
                cls.plotted_s = time.monotonic()
                plot_curves(folder)


class PartsTrainer(BudgetTraining, Trainer):
    """For the stages with one optimizer."""


class PartsGANTrainer(BudgetTraining, GANTrainer):
    """For the codec: generator and discriminators in turns."""


def resume_point(
    folder: Path, options: TrainerOptions, distributed_option: Any, schedulers: Sequence[object]
) -> Mapping[str, Any] | None:
    """Repair the checkpoint to go on from; what it has if it was written inside an epoch. No epoch is left to train if
    it spent the budget. Raises RuntimeError as `repair_checkpoint`."""
    if _is_first(distributed_option):
        repair_checkpoint(folder)
    if distributed_option.distributed:
        torch.distributed.barrier()
    path = folder / "checkpoint.pth"
    state = read_checkpoint(path) if path.exists() else {}
    if (epoch := spent_epoch(state, schedulers)) is not None:
        logging.info(f"The budget was spent at epoch {epoch}: nothing is left to train")
        options.max_epoch = epoch
    return state.get(INSIDE)


def repair_checkpoint(folder: Path) -> None:
    """Restore the last whole checkpoint, and a broken model of its epoch. Raises RuntimeError: none can be read."""
    current, previous = folder / "checkpoint.pth", folder / "checkpoint.previous.pth"
    (folder / "checkpoint.pth.part").unlink(missing_ok=True)
    if not whole(current):
        if not whole(previous):
            if current.exists() or previous.exists():
                raise RuntimeError(f"{current}: no whole checkpoint is left; remove {folder} to train again")
            return
        logging.warning(f"{current} is missing or broken: resuming from {previous}")
        previous.replace(current)
    state = read_checkpoint(current)
    model_file = folder / f"{state['reporter']['epoch']}epoch.pth"
    if INSIDE not in state and not whole(model_file):
        torch.save(state["model"], model_file)


def spent_epoch(state: Mapping[str, Any], schedulers: Sequence[object]) -> int | None:
    """The epoch of a checkpoint by which the budget was spent; None if something is left."""
    if not state or INSIDE in state:  # inside an epoch, its validation at least is left
        return None
    for scheduler, saved in zip(schedulers, state["schedulers"], strict=True):
        if isinstance(scheduler, BudgetCosine) and saved is not None:
            scheduler.load_state_dict(saved)
            if scheduler.finished:
                return state["reporter"]["epoch"]
    return None


def plot_curves(folder: Path) -> None:
    """Draw images/*.png, a curve over epochs for each figure, from a folder's last whole checkpoint, if any."""
    checkpoint = next(filter(whole, [folder / "checkpoint.pth", folder / "checkpoint.previous.pth"]), None)
    if checkpoint is None:
        return
    reporter = Reporter()
    reporter.load_state_dict(read_checkpoint(checkpoint)["reporter"])
    if not reporter.stats:  # inside the first epoch
        return
    for phases in reporter.stats.values():
        for phase, figures in phases.items():
            phases[phase] = {name: value for name, value in figures.items() if not name.endswith(NO_CURVE)}
    reporter.matplotlib_plot(folder / "images")


def whole(path: Path) -> bool:
    """Whether a file of torch.save was written to its end (its directory is written last)."""
    return path.is_file() and zipfile.is_zipfile(path)


def _is_first(distributed_option: Any) -> bool:
    return not distributed_option.distributed or distributed_option.dist_rank == 0
