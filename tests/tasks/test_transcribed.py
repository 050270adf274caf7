"""Stages 1.2 and 1.3 with the words of a transcriber, which are heard once and read from a table."""

from __future__ import annotations

import shutil

import pytest
import torch

from freeze_omni.bin.dump_said import main as dump_said
from freeze_omni.bin.pack import with_transcriber
from freeze_omni.bin.train import main as train
from freeze_omni.checkpoint import read_model
from freeze_omni.config import ConfigError
from freeze_omni.data.audio import read_audio
from freeze_omni.data.tables import read_table
from freeze_omni.tasks.listening_model import said_in
from tests.encoder.whisper import write_whisper
from tests.tasks.conftest import STAGES, Toy

CACHED = {"left_s": 0.32, "lookahead_chunks": 1, "context": "cached"}
TRANSCRIBED = {
    "1.1_cached": ("encoder", STAGES["1.1_pretrained"][1] | {"frontend": CACHED}, {}),
    "1.2_said": (
        "adapter",
        {"adapter": {"words": {"transcribed": True}}, "still_encoder": True},
        {"1.1_cached": "frontend,encoder,ctc"},
    ),
    "1.3_said": ("dialogue", {"prompt": 5}, {"1.2_said": "adapter", "1.1_cached": "frontend,encoder,ctc"}),
}


@pytest.fixture(scope="module")
def heard(toy, tmp_path_factory) -> Toy:
    """The toy corpus with what a Whisper says of it."""
    folder = tmp_path_factory.mktemp("heard")
    for name in ("data", "llm", "units"):
        shutil.copytree(toy.folder / name, folder / name)
    write_whisper(folder / "speech_model")
    made = Toy(folder, STAGES | TRANSCRIBED)
    model = str(made.speech_model())
    options = ["--config", made.options("1.1_cached")[1], "--encoder", model, "--transcriber", model]
    options += ["--llm", str(folder / "llm"), "--data_dir", str(folder / "data"), "--output_dir", str(folder / "data")]
    dump_said(options)
    return made


def test_the_table_is_what_the_stream_says(heard):
    """The tokens that a packed model hears, each in its chunk."""
    parts = [f"{heard.checkpoint('1.1_cached')}:frontend,encoder,ctc"]
    model = read_model(parts, heard.folder / "llm", heard.folder / "units")
    model = with_transcriber(model, str(heard.speech_model()), "en")
    table = read_table(heard.folder / "data" / "said", need_value=False)
    assert any(table.values())
    for uid, entry in read_table(heard.folder / "data" / "wav.scp").items():
        wav = torch.from_numpy(read_audio(entry, 16000)[0]).float()[None]
        wav = torch.nn.functional.pad(wav, (0, model.listening.end_samples))
        wav = torch.nn.functional.pad(wav, (0, -wav.shape[1] % 2560))
        state, found = model.listening.initial_state(1), []
        for chunk, piece in enumerate(wav.split(2560, dim=1)):
            out, state = model.listening.step(piece, state)
            found += [(token, chunk) for token in out.said.words[0].tolist()]
        numbers = torch.tensor([int(one) for one in table[uid].split()]).reshape(-1, 3)
        assert numbers[:, :2].tolist() == [list(pair) for pair in found], uid


@pytest.mark.parametrize("name", ["1.2_said", "1.3_said"])
def test_the_llm_reads_the_tokens_of_the_table(heard, name):
    model, args = heard.build(name)
    batch = heard.batch(name, args)
    out = model.eval().listen_to(batch)
    for row, (numbers, size) in enumerate(zip(batch["said"], batch["said_lengths"].tolist(), strict=True)):
        ids, chunks = numbers[:size].reshape(-1, 3)[:, :2].unbind(1)
        assert int(out.adapted.lengths[row]) == len(ids)
        assert torch.allclose(out.adapted.embeds[row, : len(ids)], model.llm.embed(ids), atol=1e-6)
        last = out.adapted.ends.shape[1] - 1
        sent = [(chunks.clamp_max(last) <= chunk).sum().item() for chunk in range(last + 1)]
        assert out.adapted.ends[row].tolist() == sent
    assert torch.isfinite(model(**batch)[0])


def test_nothing_said_is_no_position():
    batch = {"said": torch.zeros(2, 0, dtype=torch.long), "said_lengths": torch.tensor([0, 0])}
    said = said_in(batch, 9, 4)
    assert said.words.shape == (2, 0) and said.ends.tolist() == [[0, 0, 0]] * 2


def test_the_table_is_needed_before_training_begins(heard, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(heard.folder / "data", data)
    (data / "said").unlink()
    options = heard.options("1.2_said")
    for name in ("--train_dir", "--valid_dir"):
        options[options.index(name) + 1] = str(data)
    with pytest.raises(SystemExit):
        train(["adapter", *options])
    assert "no said; run the stage that makes it" in capsys.readouterr().err


def test_earlier_rounds_as_speech_are_refused(heard):
    with pytest.raises(ConfigError, match="history: speech would need what a transcriber says"):
        heard.build("1.3_said", model={"prompt": 5, "history": "speech"})
