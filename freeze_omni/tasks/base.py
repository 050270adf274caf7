"""What the tasks of all stages share: ESPnet's AbsTask over models of named parts (see docs/stages.md)."""

import argparse
import logging
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import torch
import yaml
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.iterators.sequence_iter_factory import SequenceIterFactory
from espnet2.tasks.abs_task import AbsTask, optim_classes, scheduler_classes
from espnet2.train.collate_fn import CommonCollateFn
from espnet2.train.dataset import ESPnetDataset
from espnet2.train.distributed_utils import get_rank
from espnet2.utils import config_argparse
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import float_or_none, int_or_none, str2bool, str_or_none
from torch import nn
from torch.utils.data import DataLoader

from freeze_omni.autocast import autocast_dtype
from freeze_omni.checkpoint import PartsSource, fill_parts, inherit_config, load_parts
from freeze_omni.config import ConfigError, as_mapping, build
from freeze_omni.data.table_file import TableFile
from freeze_omni.provenance import provenance
from freeze_omni.stages import Stage, stage
from freeze_omni.tasks.data_dirs import FileKinds, add_data_dirs
from freeze_omni.tasks.parts_model import PartsModel, parameter_count
from freeze_omni.tasks.resources import Resources
from freeze_omni.tasks.row_batches import BATCH_TYPES, IdBatches, RowDataset, build_sampler
from freeze_omni.tasks.signals import passed_on
from freeze_omni.tasks.trainer import BudgetCosine, PartsTrainer

scheduler_classes["budgetcosine"] = BudgetCosine
LOG_FORMAT = "%(asctime)s (%(module)s:%(lineno)d) %(levelname)s: %(message)s"
Preprocess = Callable[[str, dict[str, Any]], dict[str, Any]]

# name: (default, type or action, help); each may also stand in the YAML
OPTIONS: dict[str, tuple[Any, Any, str]] = {
    "model": ({}, NestedDictAction, "Parts and their configuration"),
    "init_parts": ([], list, "Parts to take over, with their configuration: PATH:PART,PART"),
    "train_dir": ([], list, "Data directories; a file is taken from the first that has it"),
    "valid_dir": ([], list, "The same for validation"),
    "llm": (None, str_or_none, "Folder or hub id of the frozen LLM"),
    "llm_revision": (None, str_or_none, "Commit, tag or branch of a hub id"),
    "llm_dtype": ("float32", str, "float32 or bfloat16: type of the frozen weights"),
    "llm_packing": (True, str2bool, "Passes through the LLM over the real positions of a batch alone, not its padding"),
    "llm_checkpointing": (False, str2bool, "Keep the LLM's layers' inputs alone, and compute them again in backward"),
    "llm_sharding": (False, str2bool, "Spread the LLM's layers over the processes of a distributed training (FSDP2)"),
    "llm_size": (None, int_or_none, "Width of the LLM, for a dry run without it"),
    "encoder": (None, str_or_none, "Pretrained speech encoder: folder of transformers or CTranslate2, or hub id"),
    "units": (None, str_or_none, "Folder of the CTC units"),
    "unit_size": (None, int_or_none, "Number of CTC units, for a dry run"),
    "system": ("", str, "Text of the system turn"),
    "cmvn": (None, str_or_none, "feats_stats.npz of --collect_stats"),
    "lr_scale": ({}, NestedDictAction, "Part: factor on its learning rate"),
    "corpus_weights": ({}, NestedDictAction, "Corpus (of utt2corpus): how often a pass reads it; others 1"),
    "shard_window": (8, int, "Shards whose utterances make batches together"),
    "stats_utterances": (200_000, int, "--collect_stats: of so many utterances, evenly from the training data; 0: all"),
    "max_minutes": (None, float_or_none, "Wall-clock budget of budgetcosine"),
    "min_steps": (None, int_or_none, "Updates that a slow machine makes all the same, in up to four times max_minutes"),
    "save_steps": (None, int_or_none, "Updates from one checkpoint to the next inside an epoch; default: at its end"),
    "autocast": ("float32", str, "Type of training arithmetic; auto: bfloat16 where the hardware supports it"),
    "num_threads": (None, int_or_none, "CPU threads; default: OMP_NUM_THREADS"),
}
CHOICES = {"autocast": ("auto", "float32", "bfloat16")}


class BaseTask(AbsTask):
    """A training stage, a row of `stages.STAGES`: sets the attributes, defines build_parts, assemble and preprocess."""

    trainer = PartsTrainer
    config_class: ClassVar[type]
    files: ClassVar[FileKinds]  # data name -> (file in a data directory, ESPnet's type)
    optional: ClassVar[tuple[str, ...]] = ()  # names of `files` that may be missing
    sample_hz: ClassVar[int] = 16000
    _set_up: ClassVar[tuple[argparse.Namespace, Any, Resources] | None] = None

    @classmethod
    def needed(cls, config: Any) -> tuple[str, ...]:
        """Names of `optional` that training with this configuration requires."""
        return ()

    @classmethod
    def build_parts(cls, config: Any, resources: Resources) -> dict[str, nn.Module]:
        """The parts by their prefix, trained or not, with fresh weights (also on the meta device)."""
        raise NotImplementedError

    @classmethod
    def trained(cls, config: Any, parts: dict[str, nn.Module]) -> tuple[str, ...]:
        """Names of parts, or of modules inside one. Default: by the stage table."""
        return cls.stage().learns(as_mapping(config))

    @classmethod
    def stage(cls) -> Stage:
        return stage(cls.__module__.rpartition(".")[2])

    @classmethod
    def assemble(cls, config: Any, parts: dict[str, Any], resources: Resources) -> PartsModel:
        """The model that gives the loss, once `--init_parts` are loaded."""
        raise NotImplementedError

    @classmethod
    def preprocess(cls, config: Any, resources: Resources, train: bool) -> Preprocess | None:
        """What turns one utterance's entries into arrays: a picklable (id, data) -> data."""
        return None

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group("Freeze-Omni")
        for name, (default, kind, text) in OPTIONS.items():
            how = {"nargs": "*"} if kind is list else {"action" if kind is NestedDictAction else "type": kind}
            group.add_argument(f"--{name}", default=default, choices=CHOICES.get(name), help=text, **how)

    @classmethod
    def set_up(cls, args: argparse.Namespace) -> tuple[Any, Resources]:
        """The stage's configuration and the LLM and units that it uses, made once for each run's options."""
        if cls._set_up is None or cls._set_up[0] is not args:
            where = f"{args.config or 'command line'}: model"
            config = build(cls.config_class, inherit_config(args.model, cls.sources(args), where), where)
            cls._set_up = args, config, Resources.from_options(args)
        return cls._set_up[1:]

    @classmethod
    def sources(cls, args: argparse.Namespace) -> list[PartsSource]:
        return [PartsSource.parse(text) for text in args.init_parts]

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> PartsModel:
        if args.llm_sharding and not torch.distributed.is_initialized():
            where = args.config or "command line"
            raise ConfigError(f"{where}: llm_sharding: there is one process: take --ngpu 2 or more, or leave it out")
        config, resources = cls.set_up(args)
        parts = cls.build_parts(config, resources)
        fill_parts(nn.ModuleDict(parts), load_parts(cls.sources(args)))
        model = cls.assemble(config, parts, resources)
        model.kept = tuple(set(cls.stage().keeps) & set(parts))
        model.autocast = autocast_dtype(args.autocast, "cuda" if args.ngpu else "cpu")
        args.model = as_mapping(config)  # what ESPnet writes into the folder's config.yaml
        logging.info("\n" + cls.parameter_table(config, parts))
        return model

    @classmethod
    def build_optimizers(cls, args: argparse.Namespace, model: nn.Module) -> list[torch.optim.Optimizer]:
        """One optimizer over the trained parts, each with its own factor on the learning rate (`lr_scale`)."""
        conf, groups = numbers(args.optim_conf), []
        for name, part in model.named_children():
            if params := [parameter for parameter in part.parameters() if parameter.requires_grad]:
                groups.append({"params": params, "lr": conf["lr"] * float(args.lr_scale.get(name, 1.0))})
        return [optim_classes[args.optim](groups, **conf)]

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool) -> Preprocess | None:
        return cls.preprocess(*cls.set_up(args), train)

    @classmethod
    def build_collate_fn(cls, args: argparse.Namespace, train: bool) -> CommonCollateFn:
        return CommonCollateFn(float_pad_value=0.0, int_pad_value=-1)

    @classmethod
    def build_sequence_iter_factory(cls, args: argparse.Namespace, iter_options: Any, mode: str) -> AbsIterFactory:
        """ESPnet's iterator over rows by number, so that memory does not grow with ids; its own for other batches."""
        if iter_options.batch_type not in BATCH_TYPES or iter_options.num_batches or args.shuffle_within_batch:
            return super().build_sequence_iter_factory(args, iter_options, mode)
        distributed = iter_options.distributed
        rank, world = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if distributed else (0, 1)
        ids, sampler = build_sampler(args, iter_options, world)
        logging.info(f"[{mode}] {len(sampler)} batches a pass, of {sampler.sizes.mean():.1f} utterances in the mean")
        return SequenceIterFactory(
            dataset=RowDataset(cls.build_dataset(args, iter_options, None), ids, sampler, rank, world),
            batches=sampler,
            seed=args.seed,
            num_iters_per_epoch=iter_options.num_iters_per_epoch,
            shuffle=iter_options.train and sampler.shards is None,  # of shards the sampler keeps the order
            num_workers=args.num_workers,
            collate_fn=iter_options.collate_fn,
            pin_memory=args.ngpu > 0,
        )

    @classmethod
    def build_streaming_iterator(cls, data_path_and_name_and_type: Any, key_file: str, **options: Any) -> DataLoader:
        """For the statistics: the same readers as in training, of `stats_utterances` of the ids."""
        assert cls._set_up is not None
        most = cls._set_up[0].stats_utterances if options.get("mode") == "train" else 0
        dataset = ESPnetDataset(data_path_and_name_and_type, preprocess=options["preprocess_fn"])
        batches = IdBatches(TableFile(key_file), options["batch_size"], most)
        return DataLoader(
            dataset, batch_sampler=batches, num_workers=options["num_workers"], collate_fn=options["collate_fn"]
        )

    @classmethod
    def required_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        return tuple(name for name, (_, kind) in cls.files.items() if name not in cls.optional and kind != "sound")

    @classmethod
    def optional_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        return (*cls.optional, "speech", "feats")

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
    def main(cls, args: argparse.Namespace | None = None, cmd: list[str] | None = None) -> None:
        """Train; with `--dry_run true` only build on the meta device and print the parameters of each part."""
        args = cls.get_parser().parse_args(cmd) if args is None else args
        if args.dry_run:
            print(cls.dry_run(args))
        else:
            with passed_on() if args.multiprocessing_distributed and args.ngpu > 1 else nullcontext():
                super().main(args)

    @classmethod
    def main_worker(cls, args: argparse.Namespace) -> None:
        needed = cls.needed(cls.set_up(args)[0])  # a wrong key is reported before anything else is done
        cls.settle_options(args)
        add_data_dirs(args, cls.files, tuple(set(cls.optional) - set(needed)), cls.sample_hz)
        if not get_rank(args.dist_rank, args.dist_launcher if args.distributed else None):
            start_records(args)
        super().main_worker(args)

    @classmethod
    def settle_options(cls, args: argparse.Namespace) -> None:
        """Derive what follows from other options. Raises ConfigError: use_amp (ESPnet's, for float16), save_steps."""
        if args.use_amp:
            raise ConfigError(f"{args.config or 'command line'}: use_amp: write autocast: bfloat16 instead")
        if args.save_steps is not None and args.save_steps < 1:
            raise ConfigError(f"{args.config or 'command line'}: save_steps: {args.save_steps} updates; give 1 or more")
        args.early_stopping_criterion = tuple(args.best_model_criterion[0])
        if args.num_threads:
            torch.set_num_threads(args.num_threads)
        options = vars(args)
        for suffix in ("", "2")[: cls.num_optimizers]:
            for key in (f"optim{suffix}_conf", f"scheduler{suffix}_conf"):
                options[key] = numbers(options[key])
            if options[f"scheduler{suffix}"] == "budgetcosine":
                conf = options[f"scheduler{suffix}_conf"]
                if args.num_iters_per_epoch:
                    conf.setdefault("max_steps", args.max_epoch * args.num_iters_per_epoch // args.accum_grad)
                conf |= {"max_minutes": args.max_minutes, "min_steps": args.min_steps}

    @classmethod
    def dry_run(cls, args: argparse.Namespace) -> str:
        """Build every part without memory and return the table of their sizes."""
        args.dry_run = True  # no weights are read
        config, resources = cls.set_up(args)
        with torch.device("meta"):
            parts = cls.build_parts(config, resources)
        return cls.parameter_table(config, parts)

    @classmethod
    def parameter_table(cls, config: Any, parts: dict[str, nn.Module]) -> str:
        learning = dict.fromkeys(parts, 0)
        for path in cls.trained(config, parts):
            name, _, inner = path.partition(".")
            learning[name] += parameter_count(parts[name].get_submodule(inner))
        rows = [f"{name:<24}{parameter_count(part):>14,}{learning[name]:>14,}" for name, part in parts.items()]
        return "\n".join([f"{'part':<24}{'parameters':>14}{'trained':>14}", *rows])


def numbers(value: Any) -> Any:
    """YAML 1.1 reads 2e-4 as a string: convert such values of a mapping to numbers."""
    if isinstance(value, dict):
        return {key: numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(numbers, value))
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def start_records(args: argparse.Namespace) -> None:
    """Start the folder's records: train.log, a copy of the terminal, and env.yaml with one entry for each start."""
    folder = Path(args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    log, root = logging.FileHandler(folder / "train.log"), logging.getLogger()
    log.setFormatter(logging.Formatter(LOG_FORMAT))
    logging.basicConfig(level=args.log_level, format=LOG_FORMAT, stream=sys.stderr)
    root.setLevel(args.log_level)
    for handler in [other for other in root.handlers if isinstance(other, logging.FileHandler)]:
        root.removeHandler(handler)  # of an earlier training in the same process
    root.addHandler(log)
    with (folder / "env.yaml").open("a", encoding="utf-8") as stream:
        yaml.safe_dump([provenance(seed=args.seed)], stream, sort_keys=False, allow_unicode=True)
