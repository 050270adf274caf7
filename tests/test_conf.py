"""Every YAML of the template is built on the meta device: keys, sizes and counts of parameters."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
import yaml

from freeze_omni.config import as_mapping, build
from freeze_omni.dialogues.plan import DialogueConfig
from freeze_omni.eval.config import read_config
from freeze_omni.stages import STAGES, TUNING, Stage, sources

CONF = Path(__file__).resolve().parents[1] / "egs" / "TEMPLATE" / "s2s1" / "conf"
FOLDER = TemporaryDirectory()  # of completed configurations
SCALES = ("tiny", "mini", "base", "gpu", "paper")
# Name of a file: its stage, and the adapter that it is of.
FILES = {}
for one in STAGES:
    for adapter in ("ctc", "conv", "words", "pool") if one.adapters[1] else ("conv",):
        FILES[Path(one.config(adapter)).stem] = (one, adapter)
FILES["1.1_encoder_pretrained"] = FILES["1.1_encoder"]
WHISPER = {  # the sizes of whisper-tiny
    "model_type": "whisper", "d_model": 384, "encoder_layers": 4, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536,
}  # fmt: skip
# In millions: what a part may have, with an LLM of width 576 and 600 units (paper: 3584, 5538).
PUBLISHED = {"encoder": 357.95, "speech_decoder": 164.72}
MOST = {
    "tiny": {"encoder": 1, "speech_decoder": 2, "codec": 2},
    "mini": {"encoder": 8, "speech_decoder": 14, "codec": 10},
    "base": {"encoder": 18, "speech_decoder": 35, "codec": 14},
    "gpu": {"encoder": 80, "speech_decoder": 130, "codec": 60},
}


def parsed(scale: str, name: str):
    from freeze_omni.bin.stages import stage_options

    one, adapter = FILES[name]

    def completed(source: Stage) -> dict:
        if source.name == "frontend" and name != "1.1_encoder_pretrained":
            return {}
        return stage_model(scale, Path(source.config(adapter)).stem)

    parts = [
        f"{written(yaml.safe_dump({'model': completed(source)}))}:{','.join(names)}"
        for source, names in sources(one.name, completed).items()
    ]
    options = ["--llm_size", "576"] if scale != "paper" else []
    if scale != "paper" or not name.startswith("1.1_encoder"):
        options += ["--unit_size", "5538" if scale == "paper" else "600"]
    if name in ("1.0_frontend", "1.1_encoder_pretrained"):
        folder = Path(FOLDER.name) / "whisper"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(WHISPER))
        options += ["--encoder", str(folder)]
    return stage_options(one, CONF / scale / f"{name}.yaml", options, parts)


@cache
def stage_model(scale: str, name: str) -> dict:
    """`model:` of a stage, with the configuration of the parts that it takes over."""
    task, args = parsed(scale, name)
    return as_mapping(task.set_up(args)[0])


@cache
def written(text: str) -> Path:
    path = Path(FOLDER.name) / f"{abs(hash(text))}.yaml"
    path.write_text(text)
    return path


def counts(table: str) -> dict[str, tuple[int, int]]:
    """Part: its parameters, and how many of them are trained."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return {name: (int(all_.replace(",", "")), int(some.replace(",", ""))) for name, all_, some in rows}


@pytest.mark.parametrize("scale", SCALES)
def test_every_stage_has_its_file(scale):
    assert sorted(path.stem for path in (CONF / scale).glob("[0-9]*.yaml")) == sorted(FILES)


def leaves(content: dict, path: str = "") -> dict[str, object]:
    """Dotted key -> value."""
    found: dict[str, object] = {}
    for key, value in content.items():
        found |= leaves(value, f"{path}{key}.") if isinstance(value, dict) else {path + key: value}
    return found


@pytest.mark.parametrize("scale", ["tiny", "base", "gpu", "paper"])
def test_mandarin_differs_in_language_alone(scale):
    own = {"text_style": "chinese", "tokens_per_row": 10.0, "normaliser": "mandarin", "language": "zh"}
    own["voice"] = "espeak:cmn"
    assert {p.name for p in (CONF / "zh" / scale).iterdir()} == {p.name for p in (CONF / scale).iterdir()}
    for path in sorted((CONF / "zh" / scale).iterdir()):
        if path.is_symlink():
            assert path.resolve() == CONF / scale / path.name
            continue
        ours, theirs = (leaves(yaml.safe_load(p.read_text("utf-8"))) for p in (path, CONF / scale / path.name))
        assert set(ours) == set(theirs)
        differing = {key.split(".")[-1]: ours[key] for key in ours if ours[key] != theirs[key]}
        assert differing.items() <= own.items() and differing
    read_config(CONF / "zh" / scale / "decode.yaml")


def test_mandarin_dialogues_are_a_configuration():
    config = build(DialogueConfig, yaml.safe_load((CONF / "zh/dialogue.yaml").read_text("utf-8")), "dialogue.yaml")
    assert (config.text_style, config.voice) == ("chinese", "espeak:cmn")


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
        if scale == "paper" and part in PUBLISHED and "frontend" not in found:
            assert size / 1e6 == pytest.approx(PUBLISHED[part], abs=0.01)
        elif scale != "paper" and part in MOST[scale]:
            assert size / 1e6 < MOST[scale][part]


@pytest.mark.parametrize(("scale", "tokens"), [("gpu", "6,144"), ("paper", "14,336")])
def test_a_dry_run_has_the_sizes_of_the_yaml(scale, tokens, tmp_path, capsys):
    """4 vectors of the LLM's width, 1536 and 3584."""
    from freeze_omni.bin.stages import main

    main(["dry_run", "--conf", str(CONF / scale), "--work", str(tmp_path), "--adapters", "conv"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["task_tokens", tokens, tokens] in rows


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


@pytest.mark.parametrize("scale", ["gpu", "paper"])
def test_gpus_train_in_bfloat16_around_an_llm_in_bfloat16(scale):
    """All but the codec, whose short-time spectra and discriminators stay in float32."""
    for path in sorted((CONF / scale).glob("[0-9]*.yaml")):
        options = yaml.safe_load(path.read_text("utf-8"))
        assert (options.get("autocast") == "bfloat16") == (path.stem != "2.1_codec"), path
        assert options.get("llm_dtype") == (None if path.stem[:3] in ("1.0", "1.1", "2.1") else "bfloat16"), path
        assert options.get("llm_checkpointing", False) == (path.stem[:3] == "1.2" and scale == "gpu"), path


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("changed", [False, True])
def test_a_stage_is_what_its_task_says(name, changed):
    """The table of stages against the tasks: what is built, trained, saved and taken over."""
    task, args = parsed("mini", name)
    one, _ = FILES[name]
    if changed:  # the other way of each condition
        for key in set(one.only_if.values()) - {"frontend"}:  # which --encoder decides
            values = {"ctc_weight": 0.0, "spelling": None, "llm_tuning": None, "gan": {}, "learned_filler": False}
            args.model = args.model | {key: values[key]}
    args.dry_run = True  # no weights are read
    config, resources = task.set_up(args)
    with torch.device("meta"):
        parts = task.build_parts(config, resources)
    saved = {path.split(".")[0] for path in task.trained(config, parts)} | set(one.keeps) & set(parts)
    assert set(one.saves(as_mapping(config))) == saved <= set(parts)
    assert (TUNING in parts) == bool(as_mapping(config).get(TUNING))
    optional = {TUNING, "frontend"}
    assert set(one.takes) - optional <= set(parts) <= {*one.takes, *one.keeps, *one.trains}
