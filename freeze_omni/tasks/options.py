"""The options of our tasks beside ESPnet's own."""

from __future__ import annotations

import argparse

from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import float_or_none, int_or_none, str_or_none


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add them to ESPnet's parser; each can stand in the YAML, too."""
    group = parser.add_argument_group("Freeze-Omni")
    group.add_argument("--model", action=NestedDictAction, default={}, help="Parts and their configuration")
    group.add_argument(
        "--init_parts",
        nargs="*",
        default=[],
        help="Parts to take over, with their configuration: PATH:PART,PART",
    )
    group.add_argument(
        "--train_dir",
        nargs="*",
        default=[],
        help="Data directories; a file is taken from the first",
    )
    group.add_argument("--valid_dir", nargs="*", default=[], help="The same for validation")
    group.add_argument("--llm", type=str_or_none, default=None, help="Folder or hub id of the frozen LLM")
    group.add_argument("--llm_dtype", default="float32", help="float32 or bfloat16: the frozen weights' type")
    group.add_argument(
        "--llm_size",
        type=int_or_none,
        default=None,
        help="Width of the LLM, for a dry run without it",
    )
    group.add_argument("--units", type=str_or_none, default=None, help="Folder of the CTC units")
    group.add_argument("--unit_size", type=int_or_none, default=None, help="Number of units, for a dry run")
    group.add_argument("--system", default="", help="Text of the system turn")
    group.add_argument("--cmvn", type=str_or_none, default=None, help="feats_stats.npz of --collect_stats")
    group.add_argument("--lr_scale", action=NestedDictAction, default={}, help="Part: its share of the rate")
    group.add_argument("--max_minutes", type=float_or_none, default=None, help="Wall-clock budget of budgetcosine")
    group.add_argument(
        "--autocast",
        choices=("auto", "float32", "bfloat16"),
        default="float32",
        help="What training computes in where it can; auto: bfloat16 where the hardware does it itself",
    )
    group.add_argument(
        "--num_threads",
        type=int_or_none,
        default=None,
        help="CPU threads; default: OMP_NUM_THREADS",
    )
