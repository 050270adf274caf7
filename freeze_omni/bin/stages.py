"""What the shell of the recipes asks: parts to take over, training folders, a dry run of all stages, keys of a YAML,
inputs of a piece of work."""

import argparse
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from freeze_omni.config import ConfigError, as_mapping, read_yaml
from freeze_omni.data.fingerprint import fingerprint
from freeze_omni.data.tables import write_lines
from freeze_omni.stages import AFTER_INIT, STAGES, TUNING, Run, Stage, sources, stage

NAMES = [one.name for one in STAGES]
# How and where work runs, and not what comes out of it (docs/stages.md).
HOW_OPTIONS = ("--nj", "--threads", "--num_threads", "--ngpu", "--device", "--part")
HOW_OPTIONS += ("--answers_requests", "--answers_retries", "--answers_timeout_s")
HOW_WORDS = re.compile(r"(OMP|MKL)_NUM_THREADS=\d+|.*\.log")
LLM_SIZE, UNIT_SIZE = 896, 5538  # of models that are only planned, unless a YAML or an option says otherwise


def main(arguments: list[str] | None = None) -> None:
    """Exits with 2 and one line on what cannot be used."""
    options = argparse.ArgumentParser(description=__doc__)
    commands = options.add_subparsers(dest="command", required=True)
    parts = commands.add_parser("parts", help="words for --init_parts of a stage, or for --parts of pack; one a line")
    parts.add_argument("stage", choices=[*NAMES, "pack"])
    folder = commands.add_parser("folder", help="the folder of a training, relative to --exp")
    folder.add_argument("stage", choices=NAMES)
    for command in (parts, folder):
        command.add_argument("--adapter", default="ctc", help="name of the adapter")
    dry = commands.add_parser("dry_run", help="build all models on the meta device and print their parameters")
    add_plan_options(dry)
    key = commands.add_parser("key", help="a key of a YAML file as JSON; an empty line if it is not set")
    key.add_argument("file", type=Path)
    key.add_argument("name")
    data = commands.add_parser(
        "sources", help="the folders of data/ that the sets of a dialogue configuration are made of"
    )
    data.add_argument("file", type=Path)
    inputs = commands.add_parser("inputs", help="what work depends on: words from standard input, each ended by a zero")
    inputs.add_argument("--files", type=int, default=0, help="so many first words may name files; of others, paths do")
    inputs.add_argument("--made", nargs="*", default=[], help="files and folders that the work makes")
    inputs.add_argument("--seen", type=Path, help="folder of fingerprints that hold as long as no file is touched")
    for command in (parts, folder, dry):
        add_run_options(command)
    chosen = options.parse_args(arguments)
    try:
        print("\n".join(answer(chosen)))
    except (ConfigError, OSError) as error:
        print(f"stages {chosen.command}: error: {error}", file=sys.stderr)
        sys.exit(2)


def answer(chosen: argparse.Namespace) -> Iterator[str]:
    """Lines of the answer. Raises ConfigError."""
    if chosen.command == "dry_run":
        yield from dry_run(chosen)
    elif chosen.command == "key":
        value = read_yaml(chosen.file).get(chosen.name)
        yield "" if value is None else json.dumps(value)
    elif chosen.command == "sources":
        yield from sources_of(read_yaml(chosen.file))
    elif chosen.command == "inputs":
        yield from inputs_of(os.fsdecode(sys.stdin.buffer.read()).split("\0")[:-1], chosen)
    else:
        run = run_of(chosen, chosen.adapter)
        folder = chosen.command == "folder"
        yield from [str(run.folder(stage(chosen.stage)).relative_to(chosen.exp))] if folder else run.parts(chosen.stage)


def sources_of(dialogues: Mapping[str, Any]) -> list[str]:
    """Folders below data/ of the sets, as `freeze_omni.dialogues.plan.SetConfig` names them."""
    sets = [one for one in (dialogues.get("sets") or {}).values() if isinstance(one, dict)]
    return sorted({str(one[key]) for one in sets for key in ("speech", "qa", "duplex", "own_voice") if one.get(key)})


def inputs_of(given: Sequence[str], chosen: argparse.Namespace) -> Iterator[str]:
    """Each word, and what it names: `word<tab>fingerprint`, or the word alone. Words in HOW_* are left out."""
    made = [os.path.realpath(path) for path in chosen.made]
    before = ""
    for number, word in enumerate(given):
        named = number < chosen.files
        if named or not (before in HOW_OPTIONS or word in HOW_OPTIONS or HOW_WORDS.fullmatch(word)):
            is_input = named or ("/" in word and not _touches(os.path.realpath(word), made))
            found = fingerprint(word, chosen.seen) if is_input and word and os.path.exists(word) else ""
            yield json.dumps(word, ensure_ascii=False) + (f"\t{found}" if found else "")
        before = word


def _touches(path: str, made: Sequence[str]) -> bool:
    """Whether a path is one of `made`, in one of them, or around one of them."""
    return any(os.path.commonpath([path, one]) in (path, one) for one in made)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """What `run_of` takes."""
    parser.add_argument("--exp", type=Path, default=Path("exp"), help="training folders of the untagged run")
    parser.add_argument("--checkpoint", default="valid.loss.ave", help="averaged checkpoint that stages take")
    parser.add_argument("--init", default="", help="packed model that stages 7 and 10 start from")
    parser.add_argument("--tag", default="", help="name of a second configuration")
    changed = "stages that the tag changes"
    parser.add_argument("--changed", nargs="*", action="extend", default=[], choices=NAMES, help=changed)


def run_of(chosen: argparse.Namespace, adapter: str) -> Run:
    return Run(chosen.exp, adapter, chosen.tag, chosen.changed, chosen.checkpoint, chosen.init)


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """What `plans` takes, beside the options of a run."""
    parser.add_argument("--conf", required=True, type=Path, help="folder with one YAML for each stage")
    parser.add_argument("--work", required=True, type=Path, help="folder for the completed configurations")
    parser.add_argument("--adapters", nargs="+", default=["ctc"], help="adapters; the first is the default")
    parser.add_argument("--llm", default="", help=f"the frozen LLM; without it llm_size of each YAML, or {LLM_SIZE}")
    parser.add_argument("--encoder", default="", help="a pretrained speech encoder; stage 1.1 then has --encoder_conf")
    parser.add_argument("--encoder_conf", default="1.1_encoder", help="YAML of stage 1.1, without its suffix")
    parser.add_argument("--stages", nargs="*", default=NAMES, choices=NAMES, help="the training stages [all]")
    for name in NAMES:
        parser.add_argument(f"--{name}_args", default="", help=f"further options of the training of stage {name}")


@dataclass(frozen=True)
class Plan:
    """One training before it is run. file: its YAML. model: its configuration, completed by the parts it takes."""

    stage: Stage
    file: Path
    overrides: list[str]
    task: Any
    args: argparse.Namespace
    model: dict[str, Any]


def plans(chosen: argparse.Namespace, models: dict[Stage, dict[str, Any]]) -> Iterator[Plan]:
    """All trainings in their order, with the default adapter last; `models` gets their configurations.

    Raises ConfigError for one that cannot be used. No weights are read.
    """
    run, llm = run_of(chosen, chosen.adapters[0]), ["--llm", chosen.llm] if chosen.llm and not chosen.init else []

    def model_of(source: Stage) -> Mapping[str, Any]:
        if source.name == "frontend" and not chosen.encoder:
            return {}
        return models[source] if source in models else run.model(source)

    def path_of(source: Stage) -> Path:
        if source in models:
            return completed(chosen, source)
        if not (run.folder(source) / "config.yaml").exists():
            raise ConfigError(f"{run.folder(source)}: not trained yet, and a later stage takes it: leave no stage out")
        return run.file(source)

    for one in STAGES:
        if one.name not in chosen.stages or chosen.init and one.name not in AFTER_INIT:
            continue
        if one.name == "frontend" and not (chosen.encoder and (chosen.conf / one.config("")).exists()):
            continue
        for adapter in reversed(chosen.adapters if one.adapters[1] else chosen.adapters[:1]):
            overrides, path = shlex.split(getattr(chosen, f"{one.name}_args")), chosen.conf / one.config(adapter)
            if one.name == "encoder":
                path = chosen.conf / f"{chosen.encoder_conf}.yaml"
            if one.name in ("frontend", "encoder") and chosen.encoder:
                overrides += ["--encoder", chosen.encoder]
            parts = run.parts_of(one.name, model_of, path_of)
            task, args = stage_options(one, path, [*llm, *overrides], parts)
            if not chosen.init:
                args.llm_size, args.unit_size = args.llm_size or LLM_SIZE, args.unit_size or UNIT_SIZE
            args.dry_run = True
            model = as_mapping(task.set_up(args)[0])
            write_lines(completed(chosen, one), [yaml.safe_dump({"model": model})])
            models[one] = model
            yield Plan(one, path, overrides, task, args, model)


def completed(chosen: argparse.Namespace, one: Stage) -> Path:
    """The file of a training's completed configuration."""
    return chosen.work / f"{one.name}.yaml"


def dry_run(chosen: argparse.Namespace) -> Iterator[str]:
    """Each configuration with its overrides, its minutes and its parameters; of a tag, what it trains itself."""
    models: dict[Stage, dict[str, Any]] = {}
    own: set[Stage] = set()
    for plan in plans(chosen, models):
        one = plan.stage
        if one.name in chosen.changed or own & {
            *sources(one.name, lambda source: models.get(source, {})),
            *map(stage, one.reads),
        }:
            own.add(one)
        if one in own or not chosen.tag:
            yield f"{' '.join([str(plan.file), *plan.overrides])}: {plan.args.max_minutes or 0:g} minutes"
            needs_llm = plan.model.get(TUNING) and not plan.args.llm  # what is learned with the LLM has its sizes
            missing = f"{TUNING}: its size follows from the LLM: give --llm FOLDER"
            yield missing if needs_llm else plan.task.dry_run(plan.args)


def stage_options(
    one: Stage, config: Path | str, options: Sequence[str], parts: Sequence[str] = ()
) -> tuple[Any, argparse.Namespace]:
    """The task of a stage and its options: those of the YAML and `options` over them. Raises ConfigError."""
    from freeze_omni.bin.train import load_task

    def refuse(message: str) -> NoReturn:  # without the usage, a hundred lines of ESPnet's options
        raise ConfigError(f"{config}, or --{one.name}_args: {message}")

    task = load_task(one.name)
    taken = ["--init_parts", *parts] if parts else []
    parser = task.get_parser()
    parser.error = refuse
    return task, parser.parse_args(["--config", str(config), "--output_dir", "unused", *taken, *options])


if __name__ == "__main__":
    main()
