"""What the tasks of all stages share: ESPnet's AbsTask over models of named parts (see docs/stages.md)."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
import yaml
from espnet2.tasks.abs_task import AbsTask, optim_classes, scheduler_classes
from espnet2.train.collate_fn import CommonCollateFn
from espnet2.utils import config_argparse
from torch import nn

from freeze_omni.checkpoint import PartsSource, fill_parts, inherit_config, load_parts
from freeze_omni.config import as_mapping, build
from freeze_omni.eval.provenance import provenance
from freeze_omni.tasks.autocast import autocast_dtype
from freeze_omni.tasks.budget import BudgetCosine
from freeze_omni.tasks.data_dirs import FileKinds, add_data_dirs
from freeze_omni.tasks.options import add_options
from freeze_omni.tasks.parts_model import PartsModel, parameter_count
from freeze_omni.tasks.resources import Resources
from freeze_omni.tasks.trainer import PartsTrainer

scheduler_classes["budgetcosine"] = BudgetCosine
LOG_FORMAT = "%(asctime)s (%(module)s:%(lineno)d) %(levelname)s: %(message)s"
Preprocess = Callable[[str, dict[str, Any]], dict[str, Any]]


class BaseTask(AbsTask):
    """A training stage: its configuration, its parts, which of them learn, and what it reads.

    A stage names its class attributes and defines `build_parts`, `assemble` and `preprocess`.
    """

    trainer = PartsTrainer
    config_class: ClassVar[type]
    files: ClassVar[FileKinds]  # data name -> (file in a data directory, ESPnet's type)
    optional: ClassVar[tuple[str, ...]] = ()  # names of `files` that may be missing
    sample_hz: ClassVar[int] = 16000

    @classmethod
    def needed(cls, config: Any) -> tuple[str, ...]:
        """Names of `optional` that a training with this configuration cannot do without."""
        return ()

    @classmethod
    def build_parts(cls, config: Any, sizes: Resources) -> dict[str, nn.Module]:
        """The parts by their prefix, trained or not, with fresh weights (also on the meta device)."""
        raise NotImplementedError

    @classmethod
    def trained(cls, config: Any, parts: dict[str, nn.Module]) -> tuple[str, ...]:
        """What learns in this stage, as PartsModel takes it."""
        raise NotImplementedError

    @classmethod
    def assemble(cls, config: Any, parts: dict[str, nn.Module], resources: Resources) -> PartsModel:
        """The model that gives the loss, after `--init_parts` were filled in."""
        raise NotImplementedError

    @classmethod
    def preprocess(cls, config: Any, resources: Resources, train: bool) -> Preprocess | None:
        """What turns one utterance's entries into arrays: a picklable (id, data) -> data."""
        return None

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser):
        add_options(parser)

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> PartsModel:
        config = cls.model_config(args)
        resources = Resources.from_options(args)
        parts = cls.build_parts(config, resources)
        holder = nn.ModuleDict(parts)
        found = load_parts(cls.sources(args))
        for part, state in found.items():
            fill_parts(holder, {part: state})
        model = cls.assemble(config, parts, resources)
        model.autocast = autocast_dtype(args.autocast, "cuda" if args.ngpu else "cpu")
        args.model = as_mapping(config)  # what ESPnet writes into the folder's config.yaml
        logging.info("\n" + cls.parameter_table(config, parts))
        return model

    @classmethod
    def model_config(cls, args: argparse.Namespace) -> Any:
        """The stage's configuration: `model:` of the YAML, completed by the parts that are taken over."""
        where = f"{args.config or 'command line'}: model"
        return build(cls.config_class, inherit_config(args.model, cls.sources(args), where), where)

    @classmethod
    def sources(cls, args: argparse.Namespace) -> list[PartsSource]:
        return [PartsSource.parse(text) for text in args.init_parts]

    @classmethod
    def build_optimizers(cls, args: argparse.Namespace, model: nn.Module) -> list[torch.optim.Optimizer]:
        """One optimizer over the trained parts, each with its own share of the rate (`lr_scale`)."""
        conf = numbers(args.optim_conf)
        groups = []
        for name, part in model.named_children():
            params = [parameter for parameter in part.parameters() if parameter.requires_grad]
            if params:
                groups.append({"params": params, "lr": conf["lr"] * float(args.lr_scale.get(name, 1.0))})
        return [optim_classes[args.optim](groups, **conf)]

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool) -> Preprocess | None:
        return cls.preprocess(cls.model_config(args), Resources.from_options(args), train)

    @classmethod
    def build_collate_fn(cls, args: argparse.Namespace, train: bool) -> CommonCollateFn:
        return CommonCollateFn(float_pad_value=0.0, int_pad_value=-1)

    @classmethod
    def required_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        return tuple(name for name in cls.files if name not in cls.optional)

    @classmethod
    def optional_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        return cls.optional

    @classmethod
    def get_parser(cls) -> config_argparse.ArgumentParser:
        parser = super().get_parser()
        parser.set_defaults(
            optim="adamw",
            batch_type="length",
            resume=True,
            num_workers=0,
            num_att_plot=0,
            log_interval=50,
            best_model_criterion=[("valid", "loss", "min")],
            keep_nbest_models=[1],
        )
        return parser

    @classmethod
    def main(cls, args: argparse.Namespace | None = None, cmd: list[str] | None = None):
        """Train; with `--dry_run true` only build on the meta device and print the parameters of each part."""
        args = cls.get_parser().parse_args(cmd) if args is None else args
        if args.dry_run:
            print(cls.dry_run(args))
            return
        super().main(args)

    @classmethod
    def main_worker(cls, args: argparse.Namespace):
        needed = cls.needed(cls.model_config(args))  # a wrong key is told before anything else is done
        cls.settle_options(args)
        add_data_dirs(args, cls.files, tuple(set(cls.optional) - set(needed)), cls.sample_hz)
        first = int(os.environ.get("RANK", args.dist_rank or 0)) == 0
        if first:
            start_records(args)
        super().main_worker(args)

    @classmethod
    def settle_options(cls, args: argparse.Namespace) -> None:
        """Derive what follows from other options: numbers written as 2e-4, the budget, the threads."""
        args.optim_conf, args.scheduler_conf = (
            numbers(args.optim_conf),
            numbers(args.scheduler_conf),
        )
        args.early_stopping_criterion = tuple(args.best_model_criterion[0])
        if args.num_threads:
            torch.set_num_threads(args.num_threads)
        for index in range(1, cls.num_optimizers + 1):
            suffix = "" if index == 1 else str(index)
            if getattr(args, f"scheduler{suffix}") != "budgetcosine":
                continue
            conf = dict(getattr(args, f"scheduler{suffix}_conf"))
            if args.num_iters_per_epoch:
                steps = args.max_epoch * args.num_iters_per_epoch // args.accum_grad
                conf.setdefault("max_steps", steps)
            conf["max_minutes"] = args.max_minutes
            setattr(args, f"scheduler{suffix}_conf", conf)

    @classmethod
    def dry_run(cls, args: argparse.Namespace) -> str:
        """Build every part without memory and return the table of their sizes."""
        config = cls.model_config(args)
        with torch.device("meta"):
            parts = cls.build_parts(config, Resources.sizes_only(args))
        return cls.parameter_table(config, parts)

    @classmethod
    def parameter_table(cls, config: Any, parts: dict[str, nn.Module]) -> str:
        rows = [f"{'part':<24}{'parameters':>14}{'trained':>14}"]
        for name, part in parts.items():
            learning = sum(
                parameter_count(part.get_submodule(path.removeprefix(name).lstrip(".")))
                for path in cls.trained(config, parts)
                if path.split(".")[0] == name
            )
            rows.append(f"{name:<24}{parameter_count(part):>14,}{learning:>14,}")
        return "\n".join(rows)


def numbers(conf: dict[str, Any]) -> dict[str, Any]:
    """YAML 1.1 reads 2e-4 as a word: make numbers of such values."""
    return {key: _number(value) for key, value in conf.items()}


def _number(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_number(item) for item in value)
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def start_records(args: argparse.Namespace) -> None:
    """Begin the folder: train.log beside the terminal, and env.yaml with one entry for each start."""
    folder = Path(args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    log = logging.FileHandler(folder / "train.log")
    log.setFormatter(logging.Formatter(LOG_FORMAT))
    logging.basicConfig(level=args.log_level, format=LOG_FORMAT, stream=sys.stderr)
    root = logging.getLogger()
    root.setLevel(args.log_level)
    for handler in [other for other in root.handlers if isinstance(other, logging.FileHandler)]:
        root.removeHandler(handler)  # of a training before this one in the same process
    root.addHandler(log)
    with (folder / "env.yaml").open("a", encoding="utf-8") as stream:
        yaml.safe_dump([provenance(seed=args.seed)], stream, sort_keys=False, allow_unicode=True)
