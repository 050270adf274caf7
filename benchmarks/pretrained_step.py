"""What a step of a pretrained speech encoder costs that computes each chunk once, over one that hears windows.

    python -m benchmarks.pretrained_step --model egs/mini/s2s1/exp/pack [--threads 1]

A packed model's own frontend, as `context: cached` and as `windows`, with the same weights, look-ahead and `left_s`,
for one user and for eight together; in turns, in one run. Writes `pretrained_step` into docs/benchmarks/speed.json: for
each number of users the ratio of the medians, and milliseconds. Half a minute, on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.generated import put_figures
from freeze_omni.bin.errors import user_errors
from freeze_omni.frontend.build import build_frontend
from freeze_omni.frontend.pretrained import PretrainedConfig, PretrainedFrontend
from freeze_omni.pack import load
from freeze_omni.provenance import provenance

ROOT = Path(__file__).resolve().parents[1]
USERS = (1, 8)


@user_errors(ValueError, name="pretrained_step")
def main(arguments: list[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", type=Path, required=True, help="packed model with a Whisper for its frontend")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--steps", type=int, default=60, help="of each")
    options.add_argument("--output", type=Path, default=ROOT / "docs/benchmarks/speed.json")
    chosen = options.parse_args(arguments)
    started_s = time.time()
    torch.set_num_threads(chosen.threads)
    model = load(chosen.model)
    if model.config.frontend is None:
        raise ValueError(f"{chosen.model}: its features are those of no pretrained encoder")
    found = compared(model.frontend.model.state_dict(), model.config.frontend, chosen.steps)
    found |= {"threads": chosen.threads, "made": provenance(0, started_s)}
    put_figures(chosen.output, {"pretrained_step": found})
    print(json.dumps(found, indent=1))


def compared(weights: dict[str, torch.Tensor], config: PretrainedConfig, steps: int) -> dict[str, dict[str, float]]:
    """For each number of users: milliseconds of a step, median, in both ways, and their ratio."""
    found = {}
    parts = {context: build_frontend(replace(config, context=context)) for context in ("windows", "cached")}
    for part in parts.values():
        part.model.load_state_dict(weights)
    for users in USERS:
        spent = {context: [] for context in parts}
        states = {context: part.initial_state(users) for context, part in parts.items()}
        for _ in range(steps):
            for context, part in parts.items():
                took_s, states[context] = step_s(part, states[context], users)
                spent[context].append(took_s)
        ms = {context: 1000 * statistics.median(took[steps // 3 :]) for context, took in spent.items()}
        figures = {f"{context}_ms": round(value, 2) for context, value in ms.items()}
        found[f"users_{users}"] = figures | {"ratio": round(ms["cached"] / ms["windows"], 3)}
    return found


@torch.no_grad()
def step_s(part: PretrainedFrontend, state: dict[str, torch.Tensor], users: int) -> tuple[float, dict]:
    """Seconds of a step, and the state after it."""
    wav = 0.1 * torch.randn(users, part.chunk_samples)
    started_s = time.perf_counter()
    _, state = part.step(wav, state)
    return time.perf_counter() - started_s, state


if __name__ == "__main__":
    main()
