"""How much of its training time does a recipe save by computing what is frozen once?

    python -m benchmarks.training --recipe egs/mini/s2s1 --exp exp --updates 100

Repeats the trainings of stages 7 and 10 (1.3 and 2.3), as their run.log has them, for so many updates: as they are
configured, and with everything computed in each update (`keep_mb: 0` in 2.3, `state_prompt: true` in 1.3). Seconds are
those of the updates alone. Writes `stages_7_10_ratio` into docs/benchmarks/speed.json. The recipe must be trained.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.generated import put_figures
from freeze_omni.bin.errors import user_errors
from freeze_omni.provenance import provenance

ROOT = Path(__file__).resolve().parents[1]
STAGES = {"7": ("1.3_dialogue*", {"state_prompt": True}), "10": ("2.3_prefix", {"keep_mb": 0})}
"""Stage -> its folder in --exp, and keys of its `model:` with which nothing is kept."""


@user_errors(ValueError, name="training")
def main(arguments: list[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--recipe", type=Path, default=ROOT / "egs/mini/s2s1", help="folder of the recipe")
    options.add_argument("--exp", default="exp", help="its folder of trainings")
    options.add_argument("--updates", type=int, default=100)
    options.add_argument("--output", type=Path, default=ROOT / "docs/benchmarks/speed.json")
    chosen = options.parse_args(arguments)
    started_s = time.time()
    stages = {}
    for stage, (pattern, without) in STAGES.items():
        log = run_log(chosen.recipe / chosen.exp, pattern)
        before, now = (seconds(chosen.recipe, log, changes, chosen.updates) for changes in (without, {}))
        stages[stage] = {"before_s": round(before, 1), "s": round(now, 1), "ratio": round(now / before, 3)}
    ratio = sum(one["s"] for one in stages.values()) / sum(one["before_s"] for one in stages.values())
    found = {"updates": chosen.updates, "stages": stages, "made": provenance(0, started_s)}
    put_figures(chosen.output, {"stages_7_10_ratio": round(ratio, 3), "training": found})
    print(json.dumps({"stages_7_10_ratio": round(ratio, 3), **stages}, indent=1))


def run_log(exp: Path, pattern: str) -> Path:
    """That of the stage's newest training. Raises ValueError without one."""
    found = sorted(exp.glob(f"{pattern}/run.log"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ValueError(f"{exp / pattern}/run.log: no such file; train the recipe first")
    return found[-1]


def seconds(recipe: Path, log: Path, changes: dict[str, Any], updates: int) -> float:
    """Of the updates of a training that was run as in the first line of `log`, with other keys of `model:`."""
    command = trained_by(log)
    with tempfile.TemporaryDirectory() as folder:
        place = {option: command.index(option) + 1 for option in ("--config", "--output_dir")}
        config = yaml.safe_load((recipe / command[place["--config"]]).read_text(encoding="utf-8"))
        config["model"] |= changes
        config |= {"max_epoch": 1, "num_iters_per_epoch": updates, "max_minutes": 600, "log_interval": updates}
        (Path(folder) / "conf.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        command[place["--config"]], command[place["--output_dir"]] = f"{folder}/conf.yaml", f"{folder}/exp"
        at = command.index("-m")
        here = os.environ | dict(part.split("=", 1) for part in command[:at] if "=" in part)
        paths = [str(ROOT), *filter(None, [here.get("PYTHONPATH")])]
        run = subprocess.run(
            [sys.executable, *command[at:]],
            cwd=recipe,
            env=here | {"PYTHONPATH": os.pathsep.join(paths)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if run.returncode:
            raise ValueError(f"the training of {log} failed: {run.stdout[-2000:]}")
        text = (Path(folder) / "exp/train.log").read_text(encoding="utf-8") + run.stdout
    return updates * of_update(text)


def trained_by(log: Path) -> list[str]:
    """The command that `log` begins with. Raises ValueError for another form."""
    first = log.read_text(encoding="utf-8").partition("\n")[0]
    command = shlex.split(first.removeprefix("# env ").removeprefix("# "))
    if "-m" not in command or "--config" not in command or "--output_dir" not in command:
        raise ValueError(f"{log}:1: no training of a stage: train the recipe again")
    return command


def of_update(log: str) -> float:
    """Seconds of an update in the mean of an epoch, by the results that its log has. Raises ValueError without."""
    found = re.findall(r"1epoch results: \[train\].*?train_time=([0-9.e+-]+)", log)
    if not found:
        raise ValueError(f"no results of an epoch in the training's log: {log[-500:]}")
    return float(found[-1])


if __name__ == "__main__":
    main()
