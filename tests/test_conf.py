"""Every YAML of the template is built on the meta device: keys, sizes and counts of parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

CONF = Path(__file__).resolve().parents[1] / "egs" / "TEMPLATE" / "s2s1" / "conf"
SCALES = ("tiny", "mini", "base", "paper")
# file: (task, parts taken over from another file)
FILES = {
    "1.1_encoder": ("encoder", {}),
    "1.2_adapter_ctc": ("adapter", {"1.1_encoder": "encoder,ctc"}),
    "1.2_adapter_conv": ("adapter", {"1.1_encoder": "encoder,ctc"}),
    "1.3_dialogue": ("dialogue", {"1.1_encoder": "encoder,ctc", "1.2_adapter_conv": "adapter"}),
    "2.1_codec": ("codec", {}),
    "2.2_speech_decoder": ("speech_decoder", {}),
    "2.3_prefix": ("prefix", {"2.2_speech_decoder": "speech_decoder"}),
}
# In millions: what a part may have, with an LLM of width 576 and 600 units (paper: 3584, 5538).
PUBLISHED = {"encoder": 357.95, "speech_decoder": 164.72}
MOST = {
    "tiny": {"encoder": 1, "speech_decoder": 2, "codec": 2},
    "mini": {"encoder": 8, "speech_decoder": 14, "codec": 10},
    "base": {"encoder": 18, "speech_decoder": 35, "codec": 14},
}


def parsed(scale: str, name: str):
    from freeze_omni.bin.train import load_task

    task_name, sources = FILES[name]
    task = load_task(task_name)
    options = ["--config", str(CONF / scale / f"{name}.yaml"), "--output_dir", "unused"]
    if sources:
        options += ["--init_parts"]
        options += [f"{CONF / scale / source}.yaml:{parts}" for source, parts in sources.items()]
    if scale != "paper":
        options += ["--llm_size", "576"]
    if scale != "paper" or name != "1.1_encoder":
        options += ["--unit_size", "5538" if scale == "paper" else "600"]
    return task, task.get_parser().parse_args(options)


def counts(table: str) -> dict[str, tuple[int, int]]:
    """Part: its parameters, and how many of them are trained."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return {name: (int(all_.replace(",", "")), int(some.replace(",", ""))) for name, all_, some in rows}


@pytest.mark.parametrize("scale", SCALES)
def test_every_stage_has_its_file(scale):
    assert sorted(path.stem for path in (CONF / scale).glob("[0-9]*.yaml")) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("scale", SCALES)
def test_builds_on_the_meta_device(scale, name):
    task, args = parsed(scale, name)
    table = task.dry_run(args)
    print(f"{scale}/{name}.yaml\n{table}")
    found = counts(table)
    assert any(some for _, some in found.values())
    for part, (size, some) in found.items():
        assert 0 <= some <= size and size > 0
        if scale == "paper" and part in PUBLISHED:
            assert size / 1e6 == pytest.approx(PUBLISHED[part], abs=0.01)
        elif scale != "paper" and part in MOST[scale]:
            assert size / 1e6 < MOST[scale][part]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("scale", SCALES)
def test_optimizers_and_schedulers_take_their_options(scale, name):
    from espnet2.tasks.abs_task import optim_classes, scheduler_classes

    task, args = parsed(scale, name)
    task.settle_options(args)
    for suffix in ("", "2") if getattr(args, "optim2_conf", None) else ("",):
        optimizer = optim_classes[getattr(args, f"optim{suffix}")](
            [torch.nn.Parameter(torch.zeros(1))], **getattr(args, f"optim{suffix}_conf")
        )
        scheduler = scheduler_classes[getattr(args, f"scheduler{suffix}")]
        scheduler(optimizer, **getattr(args, f"scheduler{suffix}_conf"))
    unknown = set(args.lr_scale) - set(counts(task.dry_run(args)))
    assert not unknown
