"""What the shell of the recipes asks: parts to take over, training folders, a dry run of all stages, keys of a YAML."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from freeze_omni.config import ConfigError, as_mapping, read_yaml
from freeze_omni.data.tables import write_lines
from freeze_omni.stages import STAGES, TUNING, Run, Stage, sources, stage, words

NAMES = [one.name for one in STAGES]
LLM_SIZE, UNIT_SIZE = 896, 5538  # of a dry run, unless a YAML or an option says otherwise


def main(arguments: list[str] | None = None) -> None:
    """Exits with 2 and one line on what cannot be used."""
    options = argparse.ArgumentParser(description=__doc__)
    commands = options.add_subparsers(dest="command", required=True)
    parts = commands.add_parser("parts", help="words for --init_parts of a stage, or for --parts of pack; one a line")
    parts.add_argument("stage", choices=[*NAMES, "pack"])
    folder = commands.add_parser("folder", help="the folder of a training, relative to --exp")
    folder.add_argument("stage", choices=NAMES)
    for command in (parts, folder):
        command.add_argument("--exp", required=True, type=Path, help="training folders of the untagged run")
        command.add_argument("--adapter", default="ctc", help="name of the adapter")
        command.add_argument("--checkpoint", default="valid.loss.ave", help="averaged checkpoint that stages take")
    dry = commands.add_parser("dry_run", help="build all models on the meta device and print their parameters")
    dry.add_argument("--conf", required=True, type=Path, help="folder with one YAML for each stage")
    dry.add_argument("--work", required=True, type=Path, help="folder for the completed configurations")
    dry.add_argument("--adapters", nargs="+", default=["ctc"], help="adapters; the first is the default")
    dry.add_argument("--llm", default="", help=f"the frozen LLM; without it llm_size of each YAML, or {LLM_SIZE}")
    for name in NAMES:
        dry.add_argument(f"--{name}_args", default="", help=f"further options of the training of stage {name}")
    key = commands.add_parser("key", help="a key of a YAML file as JSON; an empty line if it is not set")
    key.add_argument("file", type=Path)
    key.add_argument("name")
    for command in (parts, folder, dry):
        command.add_argument("--tag", default="", help="name of a second configuration")
        changed = "stages that the tag changes"
        command.add_argument("--changed", nargs="*", action="extend", default=[], choices=NAMES, help=changed)
    chosen = options.parse_args(arguments)
    try:
        print("\n".join(answer(chosen)))
    except ConfigError as error:
        print(f"stages {chosen.command}: error: {error}", file=sys.stderr)
        sys.exit(2)


def answer(chosen: argparse.Namespace) -> Iterator[str]:
    """Lines of the answer. Raises ConfigError."""
    if chosen.command == "dry_run":
        yield from dry_run(chosen)
    elif chosen.command == "key":
        value = read_yaml(chosen.file).get(chosen.name)
        yield "" if value is None else json.dumps(value)
    else:
        run = Run(chosen.exp, chosen.adapter, chosen.tag, chosen.changed, chosen.checkpoint)
        folder = chosen.command == "folder"
        yield from [str(run.folder(stage(chosen.stage)).relative_to(chosen.exp))] if folder else run.parts(chosen.stage)


def dry_run(chosen: argparse.Namespace) -> Iterator[str]:
    """Each configuration with its overrides, its minutes and its parameters; of a tag, what it trains itself."""
    models: dict[Stage, dict[str, Any]] = {}
    own: set[Stage] = set()
    llm = ["--llm", chosen.llm] if chosen.llm else []
    for one in STAGES:
        for adapter in reversed(chosen.adapters if one.adapters[1] else chosen.adapters[:1]):  # the default one last
            taken = sources(one.name, models.__getitem__)
            overrides = getattr(chosen, f"{one.name}_args").split()
            path = chosen.conf / one.config(adapter)
            parts = words(taken, lambda source: chosen.work / f"{source.name}.yaml")
            task, args = stage_options(one, path, [*llm, *overrides], parts)
            args.llm_size, args.unit_size = args.llm_size or LLM_SIZE, args.unit_size or UNIT_SIZE
            args.dry_run = True  # no weights are read
            models[one] = as_mapping(task.set_up(args)[0])
            write_lines(chosen.work / f"{one.name}.yaml", [yaml.safe_dump({"model": models[one]})])
            if one.name in chosen.changed or own & {*taken, *map(stage, one.reads)}:
                own.add(one)
            if one in own or not chosen.tag:
                yield f"{' '.join([str(path), *overrides])}: {args.max_minutes or 0:g} minutes"
                needs_llm = models[one].get(TUNING) and not args.llm  # what is learned with the LLM has its sizes
                missing = f"{TUNING}: its size follows from the LLM: give --llm FOLDER"
                yield missing if needs_llm else task.dry_run(args)


def stage_options(
    one: Stage, config: Path | str, options: Sequence[str], parts: Sequence[str] = ()
) -> tuple[Any, argparse.Namespace]:
    """The task of a stage and its options: those of the YAML and `options` over them. Raises ConfigError."""
    from freeze_omni.bin.train import load_task

    task = load_task(one.name)
    taken = ["--init_parts", *parts] if parts else []
    return task, task.get_parser().parse_args(["--config", str(config), "--output_dir", "unused", *taken, *options])


if __name__ == "__main__":
    main()
