"""`freeze-omni import-lora` and `export-lora`: peft's format in and out of a packed model."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from freeze_omni.bin import export_lora, import_lora, pack
from freeze_omni.llm.peft_format import WEIGHTS, write_lora
from freeze_omni.llm.tuned import Lora, LoraConfig
from freeze_omni.pack import load, save
from tests.toy import as_if_learned, toy_system


def test_a_lora_goes_into_a_packed_model_and_out_again(tmp_path, monkeypatch, capsys):
    model = toy_system(tmp_path / "llm")
    base, config = save(model, tmp_path / "base"), LoraConfig(rank=2, projections=("self_attn.q_proj",))
    lora = as_if_learned(Lora(config, model.llm.model))
    theirs = write_lora(tmp_path / "theirs", lora, config, model.llm)
    words = ["--lora", str(theirs), "--llm", str(tmp_path / "llm"), "--output", str(tmp_path / "lora")]
    import_lora.main(words)
    part = capsys.readouterr().out.strip()
    assert part == f"{tmp_path}/lora/lora.pth:llm_tuning"
    monkeypatch.setattr("sys.argv", ["pack", "--base", str(base), "--parts", part, "--output", str(tmp_path / "new")])
    pack.main()
    again, embeds = load(tmp_path / "new"), torch.randn(1, 4, model.llm.hidden_size)
    with lora.applied():
        expected = model.llm(embeds)[0]
    torch.testing.assert_close(again.llm(embeds)[0], expected)
    export_lora.main(["--model", str(tmp_path / "new"), "--output", str(tmp_path / "out")])
    first, second = load_file(theirs / WEIGHTS), load_file(tmp_path / "out" / WEIGHTS)
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    with pytest.raises(SystemExit, match="^export-lora: error: .*base: has no LoRA"):
        export_lora.main(["--model", str(base), "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="^import-lora: error: .*no such file"):
        import_lora.main(["--lora", str(base), *words[2:]])
