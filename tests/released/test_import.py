"""A whole checkpoint: imported, compared with recordings, of many sizes and switches."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from freeze_omni.bin import check_golden, import_released
from freeze_omni.encoder.encoder import Block
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.pack import load
from freeze_omni.released.checkpoint import NOTICE, build_model, read_released
from freeze_omni.released.export import write_released
from freeze_omni.released.files import ReleasedError
from freeze_omni.released.golden import INPUTS, check, read_recording, record
from tests.golden import miniature
from tests.released.make import Sizes, write_checkpoint
from tests.toy import toy_llm

GOLDEN = Path(os.environ.get("FREEZE_OMNI_GOLDEN", Path(__file__).parents[3] / "shared" / "golden"))
SMALL = Sizes()
VARIANTS = {
    "two convolutions, concat, Kaldi statistics": {},
    "one convolution, LayerNorm, GELU": {"width": 32, "norm": "layer", "activation": "gelu", "kernel": 5},
    "one convolution, BatchNorm, kernel 1": {"width": 24, "kernel": 1, "json_cmvn": True, "concat": False},
    "chunks of 8, one left": {"chunk": 8, "left": 1, "width": 24},
    "chunks of 2, no left": {"chunk": 2, "left": 0},
    "paired blocks of two kernels": {"block": "1", "block_kernels": (3, 5), "dilations": ((1,), (3,))},
    "eight global tokens, other rates": {"global_tokens": 8, "rates": (8, 5, 5, 3), "rate_kernels": (16, 11, 11, 5)},
    "one decoder layer, as wide as the LLM": {"dec_layers": 1, "dec_width": 96, "bare": False},
    "no voice stage, penalty off": {"channels": 64, "window": -1},
}


@pytest.fixture(scope="module")
def llm_folder(tmp_path_factory):
    return toy_llm(tmp_path_factory.mktemp("llm"), hidden_size=SMALL.llm)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("made") / "checkpoints", SMALL)


def imported(folder, llm_folder):
    released = read_released(folder)
    return build_model(released, FrozenLLM.load(llm_folder, texts=released.config.chat))


def all_right(model, recording):
    checks = list(check(model, recording))
    assert all(one.right for one in checks), [one for one in checks if not one.right]
    assert {one.how for one in checks} == {"streaming", "one pass"}
    assert {one.key for one in checks} == set(recording) - set(INPUTS)


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.skipif(not GOLDEN.is_dir(), reason="no golden recordings (FREEZE_OMNI_GOLDEN)")
def test_recordings_of_the_published_code(name, tmp_path):
    root = GOLDEN / name
    options = {"checkpoint": root / "checkpoints", "llm": root / "llm", "output": tmp_path / "pack"}
    import_released.main([f"--{key}={value}" for key, value in options.items()])
    all_right(load(tmp_path / "pack"), read_recording(root / "golden.npz"))


def test_the_miniature_from_archive_to_answer(tmp_path, capsys):
    assert miniature.ARCHIVE.stat().st_size <= miniature.MOST_BYTES
    root = miniature.unpack(tmp_path)
    recording = read_recording(root / "golden.npz")
    import soundfile

    soundfile.write(tmp_path / "question.wav", recording["wav16k"], 16000)
    options = {"checkpoint": root / "checkpoints", "llm": root / "llm", "output": tmp_path / "pack"}
    options["check"] = tmp_path / "question.wav"
    import_released.main([f"--{key}={value}" for key, value in options.items()])
    said = capsys.readouterr().out
    assert "2 x (20, 20)  -> encoder.blocks.*.attention.query.weight" in said
    assert "task_embeddings.weight: of stage 1.2, not read at inference" in said
    assert "encoder.linear.0.weight: takes no part" in said
    assert "voice: global tokens 3 10" in said and NOTICE in said
    assert "no words are known" in said and "speech tokens" in said
    assert (tmp_path / "pack" / "NOTICE.txt").read_text().strip() == NOTICE
    check_golden.main([f"--model={tmp_path / 'pack'}", f"--golden={root / 'golden.npz'}"])
    assert "all keys" in capsys.readouterr().out


@pytest.mark.parametrize("name", VARIANTS)
def test_other_sizes_and_switches(name, tmp_path, llm_folder):
    """Steps are what one pass gives; written out and read again, every bit is the same."""
    model = imported(write_checkpoint(tmp_path / "made", replace(SMALL, **VARIANTS[name])), llm_folder)
    recording = record(model, miniature.inputs(model))
    all_right(model, recording)
    write_released(model, tmp_path / "written")
    again = imported(tmp_path / "written", llm_folder)
    assert again.config == model.config
    ours = model.state_dict()
    assert all(torch.equal(ours[key], value) for key, value in again.state_dict().items())
    second = record(again, {key: recording[key] for key in INPUTS})
    assert all(np.array_equal(second[key], value) for key, value in recording.items())


@torch.no_grad()
def test_concat_after_is_what_the_layout_says(folder, llm_folder):
    """x + concat_linear([norm1(x); attention]), then the feed-forward, from the file's own tensors."""
    model = imported(folder, llm_folder)
    block: Block = model.encoder.blocks[1]
    theirs = torch.load(folder / "audiollm" / "final.pt", weights_only=True)
    name, x = "encoder.enc.1.encoders.1", torch.randn(1, 4, SMALL.width)
    frames = torch.arange(4)[None]
    mask = torch.ones(1, 4, 4, dtype=torch.bool)
    places = block.attention.places(model.config.encoder, frames, frames, 4)
    empty = torch.zeros(1, 0, SMALL.heads, SMALL.width // SMALL.heads)
    found, _ = block(x, {"keys": empty, "values": empty}, mask, places)

    def apply(part, value):
        return torch.nn.functional.linear(value, theirs[f"{name}.{part}.weight"], theirs[f"{name}.{part}.bias"])

    def norm(part, value):
        weight, bias = (theirs[f"{name}.{part}.{kind}"] for kind in ("weight", "bias"))
        return torch.nn.functional.layer_norm(value, (SMALL.width,), weight, bias)

    normed = norm("norm1", x)
    attended = block.attention(normed, *block.attention.project(normed), mask, places)
    y = x + apply("concat_linear", torch.cat([normed, attended], dim=-1))
    y = y + apply("feed_forward.w_2", apply("feed_forward.w_1", norm("norm2", y)).relu())
    assert torch.allclose(found, y, atol=1e-5)


def edited(folder, tmp_path, file, change):
    """A copy of the checkpoint (by links) with one file changed."""
    for path in folder.rglob("*"):
        if path.is_file():
            target = tmp_path / "edited" / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
    path = tmp_path / "edited" / file
    read, write = (yaml.safe_load, yaml.safe_dump) if file.endswith("yaml") else (json.loads, json.dumps)
    content = read(path.read_text())
    change(content)
    path.unlink()
    path.write_text(write(content))
    return tmp_path / "edited"


def transformer(key, value):
    return lambda c: c["encoder_conf"]["para_conf"]["transformer"].update({f"transformer-{key}": value})


REFUSED = {
    "post-norm": ("audiollm/train.yaml", transformer("normalize-before", False), "normalize-before is False"),
    "heads": ("audiollm/train.yaml", transformer("attention-heads", 3), "not a multiple of heads"),
    "odd chunk": (
        "audiollm/train.yaml",
        lambda c: (transformer("chunk_size", 3)(c), c["model_conf"].update(chunk_size=3)),
        "not a multiple of 2",
    ),
    "widths": ("audiollm/train.yaml", lambda c: c["model_conf"].update(enc_out_dim=8), "enc_out_dim is 8"),
    "window": ("audiollm/train.yaml", transformer("left_chunks", 2000), "too few for a window of 8004 frames"),
    "endless blocks": ("audiollm/train.yaml", transformer("num-blocks", 10**9), "too few for 1000000000 blocks"),
    "adapter": ("audiollm/train.yaml", lambda c: c["model_conf"].update(adpter_type="linear"), "only 'subsampling'"),
    "states": ("audiollm/train.yaml", lambda c: c["model_conf"].update(predict_usr_state=3), "only 4 is known"),
    "statistics": ("audiollm/train.yaml", lambda c: c.update(is_json_cmvn=True), "is_json_cmvn: true"),
    "upsampling": ("decoder/model.json", lambda c: c[2].update(encoder_upsample_rate=2), "only 1 is known"),
    "prefix": ("decoder/model.json", lambda c: c[2].update(kv_cache_prefix_finetune=0), "only 1 is known"),
    "codes": ("decoder/model.json", lambda c: c.__setitem__(1, 30), "they must agree"),
    "huge": (
        "decoder/model.json",
        lambda c: (c.__setitem__(0, 10**9), c[2].update(idim=10**9, transformer_attention_dim=10**9)),
        "decoder/(model.json|final.pt)",
    ),
    "block": ("codec/model.json", lambda c: c.update(resblock="3"), "only '1' and '2'"),
    "codebooks": ("codec/model.json", lambda c: c.update(n_code_groups=2), "one codebook"),
    "rates": ("codec/model.json", lambda c: c.update(upsample_rates=[2] * 90), "needs 4"),
    "voice": ("codec/model.json", lambda c: c.update(global_tokens=[1]), "global_tokens must be 2"),
    "server": ("server.json", lambda c: c.pop("decoder_N"), "decoder_N is missing"),
    "top-k": ("server.json", lambda c: c.update(decoder_top_k=0), "top_k"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_was_never_published_is_refused(name, folder, tmp_path):
    file, change, message = REFUSED[name]
    with pytest.raises(ReleasedError, match=message):
        read_released(edited(folder, tmp_path, file, change))


def test_an_llm_of_another_width_is_refused(folder, tmp_path):
    with pytest.raises(ReleasedError, match="llm_embed_dim is 96, but .* is 48 wide"):
        imported(folder, toy_llm(tmp_path / "llm", hidden_size=48))


def test_a_recording_that_differs_ends_the_check(folder, llm_folder, tmp_path, capsys):
    from freeze_omni.pack import save

    model = imported(folder, llm_folder)
    recording = record(model, miniature.inputs(model, steps=2))
    save(model, tmp_path / "pack")
    for key, change, message in (
        ("adapter_out", lambda x: x + 1e-3 * np.abs(x).max(), "adapter_out, streaming"),
        ("round1_ids", lambda x: x[:-1], "round1_ids, streaming"),
        ("state_probs", lambda x: x * np.nan, "state_probs"),
        ("mystery", None, "nothing recomputes mystery"),
    ):
        wrong = recording | {key: change(recording[key]) if change else np.zeros(2)}
        np.savez(tmp_path / "golden.npz", **wrong)
        with pytest.raises(SystemExit) as ended:
            check_golden.main([f"--model={tmp_path / 'pack'}", f"--golden={tmp_path / 'golden.npz'}"])
        assert message in str(ended.value)
