"""Ablations: what a row trains and takes over, work that is not done again, and the table."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from freeze_omni.bin.ablate import main, parser, plan
from freeze_omni.config import ConfigError, build, read_yaml
from freeze_omni.eval.ablation.commands import steps
from freeze_omni.eval.ablation.rows import merged, read_table_config
from freeze_omni.eval.ablation.steps import Step, StepError, run_step
from freeze_omni.eval.ablation.table import render
from tests.shell.bash import ROOT, run

RECIPE, CONF = ROOT / "egs/ablation/s2s1", ROOT / "egs/TEMPLATE/s2s1/conf"
FOLDERS = {"exp": "exp", "dump": "dump", "data": "data", "reference": "reference", "out": "rows"}
FILES = {"table": RECIPE / "conf/rows.yaml", "decode": RECIPE / "conf/decode.yaml", "conf": CONF / "mini"}


def options(root: Path, *more: str) -> list[str]:
    words = [word for name, path in FOLDERS.items() for word in (f"--{name}", str(root / path))]
    words += [word for name, path in FILES.items() for word in (f"--{name}", str(path))]
    return [*words, "--results", str(root / "RESULTS.md"), "--llm", "LLM", "--system", "Be kind.", *more]


def plans(root: Path):
    return plan(parser().parse_args(options(root)))


def words_of(row, name: str) -> dict[str, list[str]]:
    """The command of a step, as option -> values."""
    return options_of(next(step for step in steps(row) if step.name == name).arguments)


def options_of(words) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"": []}
    values = found[""]
    for word in words:
        if word.startswith("--"):
            values = found.setdefault(word[2:], [])
        else:
            values.append(word)
    return found


def test_a_row_trains_what_differs_and_what_builds_on_it(tmp_path):
    trained = {name: row.trained for name, row in plans(tmp_path).items()}
    assert trained["frozen"] == trained["conv"] == ()
    assert trained["lora"] == trained["kl"] == trained["reference"] == ("1.3_dialogue",)
    assert trained["answers"] == trained["lora_early"] == ("1.2_adapter", "1.3_dialogue")
    assert trained["dynamic_chunks"] == ("1.1_encoder", "1.2_adapter", "1.3_dialogue")
    assert trained["no_pre_network"] == ("2.2_speech_decoder", "2.3_prefix")


def test_an_adapter_that_the_recipe_did_not_train_is_trained_here(tmp_path):
    checkpoint = tmp_path / "exp/1.1_encoder/valid.loss.ave.pth"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    assert plans(tmp_path)["conv"].trained == ("1.2_adapter", "1.3_dialogue")


def test_checkpoints_come_from_the_row_or_from_the_recipe(tmp_path):
    rows, exp, out = plans(tmp_path), tmp_path / "exp", tmp_path / "rows"
    lora, early = words_of(rows["lora"], "pack")["parts"], rows["lora_early"]
    assert f"{exp}/1.2_adapter_ctc/valid.loss.ave.pth:encoder,ctc,adapter" in lora
    assert f"{out}/lora/1.3_dialogue/valid.loss.ave.pth:prompt,state_head,llm_tuning" in lora
    before = f"{out}/lora_early/1.2_adapter/valid.loss.ave.pth"
    assert words_of(early, "1.3_dialogue")["init_parts"] == [f"{before}:encoder,ctc,adapter", f"{before}:llm_tuning"]
    assert f"{exp}/1.3_dialogue_conv/valid.loss.ave.pth:prompt,state_head" in words_of(rows["conv"], "pack")["parts"]
    speaks = words_of(rows["no_pre_network"], "2.3_prefix")["init_parts"]
    assert speaks == [f"{out}/no_pre_network/2.2_speech_decoder/valid.loss.ave.pth:speech_decoder"]


def test_data_follow_the_targets(tmp_path):
    rows, dump = plans(tmp_path), tmp_path / "dump"
    assert words_of(rows["lora_early"], "1.2_adapter")["train_dir"] == [f"{dump}/raw/asr_train"]
    assert words_of(rows["answers"], "1.2_adapter")["train_dir"] == [f"{dump}/dialogue/train"]
    reference = words_of(rows["reference"], "1.3_dialogue")
    assert reference["train_dir"] == [f"{tmp_path}/reference/train", f"{dump}/dialogue/train"]
    assert reference["valid_dir"][0] == f"{tmp_path}/reference/dev"


TEMPLATE_STAGES = """
set -euo pipefail
export PATH={root}/utils:$PATH
for file in {root}/egs/TEMPLATE/s2s1/stages/*.sh; do . $file; done
once() {{ while [ "$1" != -- ]; do shift; done; shift; "$@"; }}
job() {{ :; }}
train_part() {{ echo "step $2"; shift 3; printf '%s\n' "$@"; }}
datadir=data dumpdir=dump expdir=exp conf=conf inference_model=valid.loss.ave adapters=ctc init_model= nj=1
train_set=asr_train optional_train_sets= valid_set=asr_dev tts_train_set=tts_train tts_valid_set=tts_dev
dialogue_train_set=train dialogue_valid_set=dev llm=LLM system_prompt="Be kind." threads=(env)
for number in 5 6 7 9 10; do "stage_$number"; done
job() {{ shift 4; echo "step pack"; printf '%s\n' "$@"; }}
pack_model ctc system --link_llm
"""


def test_commands_are_those_of_the_template(tmp_path, monkeypatch):
    """With the row's folders for the recipe's: who changes a stage there is told to change it here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dump/raw/tts_dev").mkdir(parents=True)
    (tmp_path / "dump/raw/tts_dev/wav.scp").write_text("u voice.wav\n")
    found = run("bash", "-c", TEMPLATE_STAGES.format(root=ROOT), cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    row = plans(Path())["frozen"]
    stages = {stage: {} for stage in ("1.1_encoder", "2.2_speech_decoder")}
    row = replace(row, name="all", row=replace(row.row, stages=stages))
    names = {"1.1_encoder": "encoder", "1.2_adapter": "adapter", "1.3_dialogue": "dialogue", "2.3_prefix": "prefix"}
    names |= {"2.2_speech_decoder": "speech_decoder", "pack": "pack"}
    theirs = {text.split("\n", 1)[0]: options_of(text.splitlines()[1:]) for text in found.stdout.split("step ")[1:]}
    for stage, name in names.items():
        ours = words_of(row, stage)
        for option in set(theirs[name]) - {"", "output"}:
            mine = [value.replace("rows/all/", "exp/") for value in ours[option]]
            mine = [re.sub(r"(1\.2_adapter|1\.3_dialogue)/", r"\1_ctc/", value) for value in mine]
            assert mine == theirs[name][option], f"{stage} --{option}"


def test_every_row_of_the_recipe_is_a_configuration_of_its_stages(tmp_path):
    from freeze_omni.bin.train import load_task
    from freeze_omni.checkpoint import PartsSource, inherit_config
    from freeze_omni.eval.ablation.commands import TASKS

    encoder = PartsSource.parse(f"{CONF}/mini/1.1_encoder.yaml:encoder")
    known = set(vars(load_task("dialogue").get_parser().parse_args(["--output_dir", "x"])))  # of all stages
    for name, row in plans(tmp_path).items():
        for stage in row.trained:
            config = row.config(stage)
            assert set(config) <= known, f"{name}, {stage}"
            sources = [encoder] if stage in ("1.2_adapter", "1.3_dialogue") else []
            model = inherit_config(config["model"], sources, name)
            if stage == "1.3_dialogue":
                model["adapter"] = {row.row.adapter: {}}
            if stage == "2.3_prefix":
                model["speech_decoder"] = row.config("2.2_speech_decoder")["model"]["speech_decoder"]
            build(load_task(TASKS[stage]).config_class, model, f"{name}, {stage}")


def test_the_dry_run_prints_every_command_and_does_nothing(tmp_path, capsys):
    main(options(tmp_path, "--dry_run", "--rows", "kl,frozen"))
    text = capsys.readouterr().out
    minutes = read_yaml(CONF / "mini/1.3_dialogue.yaml")["max_minutes"]
    assert "# kl: " in text and f"# trains 1.3_dialogue: {minutes:g} minutes" in text and "# lora: " not in text
    assert "freeze_omni.bin.train dialogue" in text and "freeze_omni.bin.decode_tts" in text
    assert f"not there yet: {tmp_path}/exp/1.1_encoder" in text and not list(tmp_path.iterdir())


def test_without_the_recipe_nothing_is_begun(tmp_path):
    with pytest.raises(SystemExit, match="run the recipe that the rows build on"):
        main(options(tmp_path))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"a": {"about": "x", "stages": {"1.4": {}}}}, "a: stages: no stage '1.4'"),
        ({"a": {"about": "x", "mesure": ["qa"]}}, "did you mean 'measure'"),
        ({"a": {"about": "x", "measure": ["wer"]}}, "'wer' is not one of"),
        ({"a": {"about": "x"}}, "no row 'b'; there are a"),
    ],
)
def test_a_wrong_table_is_told(tmp_path, rows, message):
    path = tmp_path / "rows.yaml"
    path.write_text(yaml.safe_dump({"rows": rows}))
    with pytest.raises(ConfigError, match=message):
        read_table_config(path, "b")


def test_keys_are_put_over_keys_mapping_by_mapping():
    base = {"model": {"encoder": {"size": 2, "layers": 1}, "join": {"utterances": 2}}, "optim": "adamw"}
    over = {"model": {"encoder": {"layers": 3}, "join": None}}
    assert merged(base, over) == {"model": {"encoder": {"size": 2, "layers": 3}, "join": None}, "optim": "adamw"}
    assert base["model"]["join"] == {"utterances": 2}


def test_a_step_is_done_once_and_again_where_something_changed(tmp_path):
    ran = []

    def runner(step, log):
        ran.append(yaml.safe_load(step.conf.read_text()))
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out/model").touch()

    def step(value):
        source = tmp_path / "source"
        source.write_text("a")
        return Step("train", "train", ("x",), tmp_path / "out", (source,), {"a": value}, tmp_path / "c.yaml", 1.0)

    assert run_step(step(1), tmp_path, runner) and not run_step(step(1), tmp_path, runner)
    assert run_step(step(2), tmp_path, runner) and ran == [{"a": 1}, {"a": 2}]
    assert len(list(tmp_path.glob("out.*/model"))) == 1, "the old training must be kept"
    changed = step(2)
    (tmp_path / "source").write_text("b")
    assert run_step(changed, tmp_path, runner) and len(ran) == 3 and len(list(tmp_path.glob("out.*"))) == 2


def test_a_step_that_failed_is_continued_in_its_folder_and_its_time_counts(tmp_path):
    def runner(step, log):
        (tmp_path / "out").mkdir(exist_ok=True)
        raise StepError("no")

    step, record = Step("train", "train", (), tmp_path / "out", minutes=1.0), tmp_path / "steps/train.json"
    for _ in range(2):
        with pytest.raises(StepError):
            run_step(step, tmp_path, runner)
        known = json.loads(record.read_text())
        record.write_text(json.dumps(known | {"seconds": 60.0}))
    assert run_step(step, tmp_path, lambda step, log: None) and not list(tmp_path.glob("out.*"))
    assert json.loads(record.read_text()) == known | {"seconds": 60.0, "done": True}


def test_the_table_has_what_was_measured_and_dashes(tmp_path):
    rows = plans(tmp_path)
    share = {"questions": 60, "low": 0.2, "high": 0.6}
    qa = {"spoken": share | {"accuracy": 0.4}, "text": share | {"accuracy": 0.8}}
    settings = ("prefix_top3", "prefix_top2", "no_prefix_top4")
    speech = {name: {"percent": 10.0 * int(name[-1]), "low": 1, "high": 2} for name in settings}
    for name, figures in (("lora", {"qa": qa | {"ratio": 0.5}}), ("no_pre_network", {"speech": speech})):
        folder = rows[name].folder
        (folder / "steps").mkdir(parents=True)
        machine = {"processor": "Some CPU", "cores": 2}
        made = {"commit": "abc", "seed": 1, "command": "score", "machine": machine, "date": "2026-01-02"}
        (folder / "results.json").write_text(json.dumps({"models": {name: figures}, "provenance": made}))
    (rows["lora"].folder / "steps/1.3_dialogue.json").write_text('{"seconds": 90}')
    counts = {"1.1_encoder": {"encoder": 9}, "1.2_adapter_ctc": {"encoder": 9, "task_tokens": 2}}
    counts = {tmp_path / "exp" / stage: found for stage, found in counts.items()}
    counts[rows["lora"].folder / "1.3_dialogue"] = {"prompt": 5, "llm_tuning": 1000}
    for folder, found in counts.items():
        folder.mkdir(parents=True)
        lines = [f"{part:<24}{size:>14,}{size:>14,}" for part, size in found.items()]
        (folder / "train.log").write_text("\n".join(["part 1 2", *lines, "INFO: done"]))
    text = render(list(rows.values()))
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    cells = {name: figures for name, *figures in lines}
    assert cells["lora"] == ["40.0 (20.0-60.0), 60", "0.500", "80.0 (20.0-60.0), 60", *"-----", "1,016", "1.5"]
    assert cells["no_pre_network"][6:8] == ["20.0 (1.0-2.0)", "40.0 (1.0-2.0)"]
    assert "Not run yet: frozen, no_prompt, prefix" in text
    assert "- `lora`: commit abc, seed 1, Some CPU, 2 cores, 2026-01-02, `score`" in text
