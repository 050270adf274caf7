"""Run the rows of an ablation table on a finished recipe: train what differs, pack, decode, score, write the table.

A row's finished steps are not run again; a row that fails is named, and the others go on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from freeze_omni.eval.decode.options import run

from freeze_omni.config import ConfigError
from freeze_omni.data.tables import write_lines
from freeze_omni.eval.ablation.commands import steps
from freeze_omni.eval.ablation.plan import RowPlan, RunOptions
from freeze_omni.eval.ablation.rows import read_table_config
from freeze_omni.eval.ablation.sources import Sources
from freeze_omni.eval.ablation.steps import Runner, StepError, run_step, subprocess_runner
from freeze_omni.eval.ablation.table import render


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--table", required=True, type=Path, help="rows.yaml")
    options.add_argument("--rows", default="", help="names with commas between; all by default")
    options.add_argument("--dry_run", action="store_true", help="print the commands of every row, do nothing")
    options.add_argument("--exp", required=True, type=Path, help="exp folder of the recipe that the rows build on")
    options.add_argument("--dump", required=True, type=Path, help="its dump folder")
    options.add_argument("--data", required=True, type=Path, help="its data folder")
    options.add_argument("--conf", required=True, type=Path, help="the configurations it was trained with")
    options.add_argument("--reference", required=True, type=Path, help="data directories with reference answers")
    options.add_argument("--asr_train", default="asr_train", help="its prepared training set of speech input")
    options.add_argument("--asr_tests", nargs="+", default=["asr_test_seen", "asr_test_unseen"], help="test sets")
    options.add_argument("--out", required=True, type=Path, help="folder of the rows")
    options.add_argument("--results", required=True, type=Path, help="RESULTS.md to write")
    options.add_argument("--decode", required=True, type=Path, help="decode.yaml")
    options.add_argument("--llm", help="the frozen LLM; by default the recipe's")
    options.add_argument("--system", help="text of the system turn; by default the recipe's")
    options.add_argument("--judge", type=Path, help="recogniser of our speech; none: no speech WER")
    options.add_argument("--ngpu", type=int, default=0, help="GPUs of a training")
    options.add_argument("--threads", type=int, default=2, help="CPU threads of a process")
    options.add_argument("--seed", type=int, default=777, help="of training and decoding")
    return options


def main(arguments: list[str] | None = None, runner: Runner | None = None) -> None:
    """Exits with one line where something cannot be used, with 1 where a row failed. runner: runs a step's command."""
    chosen = parser().parse_args(arguments)
    run(lambda chosen: ablate(chosen, runner or subprocess_runner(chosen.threads)), chosen)


def ablate(chosen: argparse.Namespace, runner: Runner) -> None:
    """All chosen rows, then the table of all rows."""
    plans, wanted = plan(chosen), list(read_table_config(chosen.table, chosen.rows).rows)
    missing = next(iter(plans.values())).sources.missing()
    if chosen.dry_run:
        for name in wanted:
            show(plans[name])
        for path in missing:
            print(f"not there yet: {path}")
        return
    if missing:
        raise ConfigError(f"{missing[0]}: no such file; run the recipe that the rows build on to its stage 10")
    failed = [name for name in wanted if not run_row(plans[name], runner)]
    text = render(list(plans.values()), toy=chosen.conf.name == "tiny")
    write_lines(chosen.results, text.splitlines())
    print(text)
    if failed:
        sys.exit(f"ablate: error: rows that failed: {', '.join(failed)}; mend them and run the same command again")


def plan(chosen: argparse.Namespace) -> dict[str, RowPlan]:
    """Every row of the table. Raises ConfigError for a wrong table or configuration."""
    folders = {name: getattr(chosen, name) for name in ("exp", "dump", "data", "conf", "reference")}
    sources = Sources(**folders, asr_train=chosen.asr_train, asr_tests=tuple(chosen.asr_tests))
    table = read_table_config(chosen.table)
    options = RunOptions(
        chosen.out, chosen.llm or known(sources, "llm", chosen), chosen.system or known(sources, "system", chosen),
        chosen.decode, chosen.judge, chosen.ngpu, chosen.threads, chosen.seed, table.minutes,
    )  # fmt: skip
    return {name: RowPlan(name, row, sources, options) for name, row in table.rows.items()}


def known(sources: Sources, name: str, chosen: argparse.Namespace) -> str:
    """What the recipe was trained with; a dry run does without the recipe. Raises ConfigError."""
    try:
        return sources.option(name)
    except ConfigError:
        if chosen.dry_run:
            return name.upper()
        raise


def show(plan: RowPlan) -> None:
    """What would be done, as commands."""
    minutes = sum(step.minutes or 0 for step in steps(plan))
    print(f"# {plan.name}: {plan.row.about}\n# trains {', '.join(plan.trained) or 'nothing'}: {minutes:g} minutes")
    for step in steps(plan):
        print(step.command)
    print()


def run_row(plan: RowPlan, runner: Runner) -> bool:
    """Run the row's steps; whether all of them ended well."""
    for step in steps(plan):
        try:
            worked = run_step(step, plan.folder, runner)
        except StepError as error:
            print(f"{plan.name}: {error}", file=sys.stderr)
            return False
        print(f"{plan.name}: {step.name}{'' if worked else ': nothing changed, skipped'}", flush=True)
    return True


if __name__ == "__main__":
    main()
