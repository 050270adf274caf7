"""The learning rate that ends on time."""

from __future__ import annotations

import pytest
import torch

from freeze_omni.tasks.trainer import BudgetCosine, until_spent


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def make(**conf) -> tuple[BudgetCosine, torch.optim.Optimizer, Clock]:
    groups = [
        {"params": [torch.nn.Parameter(torch.zeros(2))], "lr": 1.0},
        {"params": [torch.nn.Parameter(torch.zeros(2))], "lr": 0.1},
    ]
    optimizer, clock = torch.optim.SGD(groups), Clock()
    return BudgetCosine(optimizer, clock=clock, **conf), optimizer, clock


def test_warms_up_and_falls_to_zero_over_the_steps():
    scheduler, optimizer, _ = make(warmup_steps=4, max_steps=20)
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(20):
        scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
        assert optimizer.param_groups[1]["lr"] == pytest.approx(rates[-1] / 10)
    assert rates[0] == 0.25 and max(rates) == rates[3] and rates[-1] == 0
    assert all(later < earlier for earlier, later in zip(rates[3:], rates[4:], strict=False))
    assert scheduler.finished


def test_time_decides_where_it_runs_out_first():
    scheduler, optimizer, clock = make(warmup_steps=1, max_steps=1000, max_minutes=1.0)
    clock.now = 100.0  # building the model does not count
    scheduler.start()
    clock.now += 30
    scheduler.step()
    assert scheduler.progress == 0.5
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5)
    clock.now += 31
    scheduler.step()
    assert scheduler.finished and optimizer.param_groups[0]["lr"] == 0


@pytest.mark.parametrize(("seconds", "steps", "progress"), [(60, 5, 0.5), (60, 10, 1.0), (30, 10, 0.5), (240, 1, 1.0)])
def test_a_slow_machine_makes_its_updates_in_more_minutes(seconds, steps, progress):
    """The minutes and `min_steps` must both be over, unless four times the minutes are."""
    scheduler, _, clock = make(max_minutes=1.0, min_steps=10)
    scheduler.start()
    clock.now = float(seconds)
    for _ in range(steps):
        scheduler.step()
    assert scheduler.progress == progress and scheduler.finished == (progress == 1.0)


def test_goes_on_with_what_was_left_after_a_resume():
    scheduler, _, clock = make(max_minutes=1.0)
    scheduler.start()
    clock.now = 45.0
    scheduler.step()
    other, _, later = make(max_minutes=1.0)
    other.load_state_dict(scheduler.state_dict())
    later.now = 5000.0
    other.start()
    later.now += 6
    other.step()
    assert other.elapsed_s == 51.0 and other.step_num == 2 and not other.finished


def test_stops_the_batches_and_tells_the_model_how_far_it_is():
    scheduler, _, _ = make(max_steps=4)

    class Model:
        progress = 0.0

    model, seen = Model(), []
    for batch in until_spent(range(100), [scheduler, None], model):
        seen.append((batch, model.progress))
        scheduler.step()
    assert seen == [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75)]
    assert list(until_spent(range(3), [None], model, by_epochs=0.25)) == [0, 1, 2] and model.progress == 0.25


def test_needs_an_end():
    with pytest.raises(ValueError, match="max_steps, max_minutes"):
        make(warmup_steps=3)
