"""Stages 1.3 and 2.3 start from an imported model, which also gives the LLM and its chat template."""

from __future__ import annotations

import pytest
import torch
import yaml

from freeze_omni.bin import import_released, pack
from freeze_omni.bin.train import load_task, main
from freeze_omni.checkpoint import read_model
from freeze_omni.pack import load
from tests.released.make import Sizes, write_checkpoint
from tests.tasks.corpus import write_corpus
from tests.toy import toy_llm

# another codebook size than the corpus has would be another corpus
SIZES = Sizes(codes=16, blocks=1)


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    root = tmp_path_factory.mktemp("imported")
    write_checkpoint(root / "checkpoints", SIZES)
    toy_llm(root / "llm", hidden_size=SIZES.llm)
    for path in (root / "llm").glob("*.jinja"):  # the template is the checkpoint's, not the LLM's
        path.unlink()
    write_corpus(root / "data")
    options = {"checkpoint": root / "checkpoints", "llm": root / "llm", "output": root / "pack"}
    import_released.main([f"--{key}={value}" for key, value in options.items()])
    return root


def options(root, parts, model, folder):
    """One option more than any training has: --init_parts."""
    conf = {
        "optim_conf": {"lr": 2e-3},
        "batch_type": "unsorted",
        "batch_size": 2,
        "max_epoch": 1,
        "num_iters_per_epoch": 2,
        "scheduler": "budgetcosine",
        "scheduler_conf": {"warmup_steps": 1},
        "model": model,
    }
    path = folder / "conf.yaml"
    path.write_text(yaml.safe_dump(conf))
    made = ["--config", str(path), "--output_dir", str(folder / "exp"), "--init_parts", f"{root / 'pack'}:{parts}"]
    return [*made, "--train_dir", str(root / "data"), "--valid_dir", str(root / "data")]


def test_dialogue_stage(imported, tmp_path, monkeypatch):
    model = {"prompt": 2, "state_head": {"summary": False}}
    main(["dialogue", *options(imported, "encoder,adapter", model, tmp_path)])
    trained = f"{tmp_path / 'exp' / 'valid.loss.ave.pth'}:prompt,state_head"
    arguments = ["pack", "--base", str(imported / "pack"), "--parts", trained, "--output", str(tmp_path / "new")]
    monkeypatch.setattr("sys.argv", arguments)
    pack.main()
    before, after = load(imported / "pack"), load(tmp_path / "new")
    changed = {
        name.split(".")[0]
        for name, value in after.state_dict().items()
        if value.shape != before.state_dict()[name].shape or not torch.equal(value, before.state_dict()[name])
    }
    assert changed == {"prompt", "state_head"}
    assert after.config.notice == before.config.notice and (tmp_path / "new" / "NOTICE.txt").exists()
    assert after.config.history == "speech"  # there is no CTC head, which would write the words of earlier rounds
    assert after.config.state_head.released is False and after.config.chat == before.config.chat


def test_history_as_text_needs_a_ctc_head(imported, tmp_path, capsys):
    model = {"prompt": 2, "state_head": {"summary": False}, "history": "text"}
    with pytest.raises(SystemExit):
        main(["dialogue", *options(imported, "encoder,adapter", model, tmp_path)])
    assert "set history: speech" in capsys.readouterr().err


def test_prefix_stage(imported, tmp_path):
    task = load_task("prefix")
    given = options(imported, "speech_decoder", {"prefix_from_ar": False}, tmp_path)
    model = task.build_model(task.get_parser().parse_args(given))
    ours, theirs = model.speech_decoder.state_dict(), load(imported / "pack").speech_decoder.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    # both turns need an answer here
    lines = [f"utt{n} Yes, it is so." for n in range(4)]
    (imported / "data" / "answer").write_text("\n".join(lines) + "\n")
    main(["prefix", *given])
    state = torch.load(tmp_path / "exp" / "valid.loss.ave.pth", weights_only=True)
    assert {name.split(".")[0] for name in state} == {"speech_decoder"}


def test_the_codec_gives_tokens_to_train_on(imported):
    codec, theirs = read_model([f"{imported / 'pack'}:codec"]).codec, load(imported / "pack").codec.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in codec.state_dict().items())
