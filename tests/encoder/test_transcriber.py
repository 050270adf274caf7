"""Whisper's decoder on a stream: as transformers computes it, what it waits for, and where its weights are from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from freeze_omni.config import ConfigError
from freeze_omni.encoder.load_transcriber import read_transcriber
from freeze_omni.encoder.search import Said
from freeze_omni.encoder.transcriber import (
    BEGINS,
    ENDS,
    GOES_ON,
    Transcriber,
    TranscriberConfig,
    build_transcriber,
    up_to,
)
from freeze_omni.frontend.pretrained import PretrainedConfig
from tests.contract.parts.pretrained import MODELS, toy_frontend
from tests.contract.parts.transcriber import KEYS, toy_transcriber
from tests.encoder.whisper import SPECIAL, write_whisper
from tests.frontend.ctranslate2 import write_ctranslate2
from tests.toy import toy_tokenizer


def rows(state: dict, row: int) -> dict:
    return {name: value[row : row + 1] for name, value in state.items()}


def heard(transcriber: Transcriber, chunks: int, level: float = 0.1, seed: int = 3) -> tuple[Said, dict]:
    """Random frames of so many chunks, of one row, and the state after them."""
    draw = torch.Generator().manual_seed(seed)
    frames = torch.randn(1, chunks * transcriber.chunk_frames, 16, generator=draw)
    ahead = torch.randn(1, chunks, 24, 16, generator=draw)
    levels = torch.full((1, chunks), level)
    return transcriber.step(frames, ahead, levels, transcriber.initial_state(1))


def test_the_decoder_is_that_of_transformers():
    transcriber = toy_transcriber(toy_frontend(context="cached"))
    _, state = heard(transcriber, 3)
    ids = torch.tensor([[58, 59, 7, 21, 30]])
    ahead = torch.randn(1, 6, 16)
    frames = torch.randn(1, 24, 16)
    state = transcriber.initial_state(1)
    for piece in frames.split(8, dim=1):
        state = transcriber._heard(piece, torch.ones(1), state)
    sight = transcriber._sight(ahead, state)
    real, none = torch.ones(1, 4).bool(), transcriber._no_tokens(1)
    hidden, kept, where = transcriber._decode(ids[:, :4], torch.arange(4)[None], real, none, sight)
    whole = torch.cat([frames, ahead], dim=1)
    expected = transcriber.net(input_ids=ids, encoder_hidden_states=whole).last_hidden_state
    torch.testing.assert_close(hidden, expected[:, 3], atol=1e-4, rtol=1e-4)
    hidden, _, _ = transcriber._decode(ids[:, 4:], torch.tensor([[4]]), torch.ones(1, 5).bool(), kept, sight)
    torch.testing.assert_close(hidden, expected[:, 4], atol=1e-4, rtol=1e-4)
    assert where.shape == (1, 5 * 8 + 6) and float(where[:, : 2 * 8].sum()) == 0, "what was not heard is not seen"


def test_in_silence_nothing_is_said():
    transcriber = toy_transcriber(toy_frontend(context="cached"))
    assert int(heard(transcriber, 12, level=0.1)[0].lengths) > 0
    assert int(heard(transcriber, 12, level=1e-4)[0].lengths) == 0


def test_a_row_rests_in_silence(monkeypatch: pytest.MonkeyPatch):
    """Nothing is decoded for it, and what the others say is the same."""
    transcriber = toy_transcriber(toy_frontend(context="cached"), rest_chunks=2)
    draw = torch.Generator().manual_seed(3)
    frames, ahead = torch.randn(2, 96, 16, generator=draw), torch.randn(2, 12, 24, 16, generator=draw)
    levels = torch.tensor([[0.1] * 12, [0.1] * 3 + [0.0] * 9])
    state = transcriber.initial_state(2)
    assert transcriber.rests(levels, state).int().sum(1).tolist() == [0, 12 - 3 - (2 + transcriber.delay_chunks - 1)]
    said, after = transcriber.step(frames, ahead, levels, state)
    alone, _ = transcriber.step(frames[:1], ahead[:1], levels[:1], transcriber.initial_state(1))
    assert said.words[0, : int(said.lengths[0])].tolist() == alone.words[0].tolist() and int(said.lengths[1])
    monkeypatch.setattr(Transcriber, "_say", None)
    assert transcriber.step(frames[1:, :8], ahead[1:, :1], levels[1:, -1:], rows(after, 1))[0].lengths.tolist() == [0]


def test_a_token_is_said_when_its_sound_is_over():
    """With a longer hold, what peaks late waits; no token's peak is later than the hold allows."""
    frontend = toy_frontend(context="cached")
    for hold in (0, 12, 30):
        transcriber = toy_transcriber(frontend, hold_frames=hold, memory_chunks=8, most=40, rewind_frames=1000)
        said, state = heard(transcriber, 8)
        count = int(state["count"])
        assert count and int(said.lengths) >= count
        assert int(state["peaks"][0, :count].max()) < transcriber.memory_frames - hold


@pytest.mark.parametrize(
    ("token", "peak", "said"),
    [(7, 25, False), (8, 25, True), (7, 35, True), (8, 10, False), (8, 61, False), (57, 25, False)],
    ids=["again", "another", "later", "far back", "not over yet", "the end"],
)
def test_what_is_believed(token, peak, said):
    """After a token at frame 20, of 64 frames of sound."""
    transcriber = toy_transcriber(toy_frontend(context="cached"), again_frames=10, memory_chunks=8)
    state = transcriber.initial_state(1) | {"levels": torch.ones(1, 8), "loudest": torch.ones(1)}
    state["tokens"][0, 0], state["peaks"][0, 0], state["count"][0] = 7, 20, 1
    assert transcriber._certain(torch.tensor([token]), torch.tensor([peak]), state).tolist() == [said]


SENTENCE = [  # token, peak, levels of the 8 chunks, whether it is said
    ("a sign in silence", 50, 4, [1, 1, 1, 1, 1, 1, 0, 0], True),
    ("its peak does not matter", 50, 62, [1, 1, 1, 1, 1, 1, 0, 0], True),
    ("too soon", 50, 62, [1, 1, 1, 1, 1, 1, 1, 0], False),
    ("a word has sound", 8, 62, [1, 1, 1, 1, 1, 1, 0, 0], False),
]


@pytest.mark.parametrize(
    ("token", "peak", "levels", "said"), [row[1:] for row in SENTENCE], ids=[row[0] for row in SENTENCE]
)
def test_a_sign_ends_a_sentence_when_it_is_quiet(token, peak, levels, said):
    transcriber = toy_transcriber(toy_frontend(context="cached"), memory_chunks=8)
    state = transcriber.initial_state(1) | {"levels": torch.tensor([levels]).float(), "loudest": torch.ones(1)}
    state["tokens"][0, 0], state["peaks"][0, 0], state["count"][0] = 7, 40, 1
    assert transcriber._certain(torch.tensor([token]), torch.tensor([peak]), state).tolist() == [said]
    assert transcriber._place(torch.tensor([token]), torch.tensor([peak]), state).item() == (
        40 if token == 50 else peak
    )


@pytest.mark.parametrize(
    ("token", "peak", "said"),
    [(8, 30, False), (8, 34, True), (21, 30, True), (8, 50, False), (51, 50, False)],
    ids=["of the last word", "of a later sound", "a piece goes on", "of silence", "another sign"],
)
def test_a_sentence_begins_after_the_one_before(token, peak, said):
    """Sound in all chunks but that of frames 48 to 55; a sign was said of the word at frame 20."""
    transcriber = toy_transcriber(toy_frontend(context="cached"), memory_chunks=8)
    levels = torch.tensor([[1.0, 1, 1, 1, 1, 1, 0, 1]])
    state = transcriber.initial_state(1) | {"levels": levels, "loudest": torch.ones(1)}
    state["tokens"][0, :2], state["peaks"][0, :2], state["count"][0] = torch.tensor([7, 50]), 20, 2
    assert transcriber._certain(torch.tensor([token]), torch.tensor([peak]), state).tolist() == [said]


def test_the_first_token_of_a_turn_is_spelled_as_such():
    transcriber = toy_transcriber(toy_frontend(context="cached"))
    transcriber.spelled[1, :, 0] = 1000
    words = heard(transcriber, 12)[0].words[0].tolist()
    assert words[0] == 1000 and 1000 not in words[1:]


def test_said_up_to_a_chunk():
    ends = torch.tensor([[0, 2, 3], [1, 1, 4]])
    said = Said(torch.arange(1, 9).view(2, 4), torch.tensor([3, 4]), ends, torch.ones(2, 4).long())
    cut = up_to(said, torch.tensor([2, 0]))
    assert cut.lengths.tolist() == [2, 0] and cut.ends.tolist() == [[0, 2, 2], [0, 0, 0]]
    assert cut.words.tolist() == [[1, 2, 0, 0], [0, 0, 0, 0]]


def test_published_decoders_are_read_alike(tmp_path: Path):
    model, folder = write_whisper(tmp_path / "transformers")
    other = tmp_path / "ct2"
    other.mkdir()
    (other / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    write_ctranslate2({"encoder": model.model.encoder.state_dict(), "decoder": model.model.decoder.state_dict()},
                      other / "model.bin")  # fmt: skip
    said = {"alignment_heads": [[0, 1], [1, 0]], "suppress_ids": [5, 6], "suppress_ids_begin": [7]}
    (other / "config.json").write_text(json.dumps(said))
    llm = toy_tokenizer("smollm", ["The LLM has other pieces than Whisper. What is it?"] * 3)
    (keys, weights), (others, same) = read_transcriber(str(folder), llm), read_transcriber(str(other), llm)
    assert {**keys, "model": None} == {**others, "model": None}
    assert keys["heads"] == [[0, 1], [1, 0]] and keys["banned"] == [5, 6] and keys["banned_first"] == [7]
    whisper = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert keys["start"] == [whisper.token_to_id(name) for name in SPECIAL[1:]]
    assert weights.keys() == same.keys() and all(torch.equal(weights[name], same[name]) for name in weights)
    frontend = PretrainedConfig(model=MODELS["whisper"], left_s=0.32, context="cached")
    transcriber = build_transcriber(TranscriberConfig(**keys), frontend)
    transcriber.load_state_dict(weights)
    kinds = {whisper.decode([token]): kind for token, kind in enumerate(weights["kinds"].tolist())}
    assert (kinds["?"], kinds["."], kinds[","], kinds["s"], kinds[" a"]) == (ENDS, ENDS, BEGINS, GOES_ON, BEGINS)
    for text in ("What is the capital of France?", "Anna has a cup of tea, please!"):
        ids = whisper.encode(" " + text, add_special_tokens=False).ids
        spelled = [transcriber.spelled[int(place == 0), token].tolist() for place, token in enumerate(ids)]
        written = llm.decode([one for row in spelled for one in row if one >= 0], clean_up_tokenization_spaces=False)
        assert written == text


def test_what_cannot_be_read_is_named(tmp_path: Path):
    _, folder = write_whisper(tmp_path / "whisper")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"whisper: no tokenizer\.json"):
        read_transcriber(str(folder), toy_tokenizer())
    with pytest.raises(ValueError, match="a whole Whisper with `context: cached`"):
        build_transcriber(TranscriberConfig(**KEYS), toy_frontend().config)
    other = toy_frontend(context="cached").config
    with pytest.raises(ValueError, match="frames of 8, and the frontend's have 16"):
        build_transcriber(TranscriberConfig(model=KEYS["model"] | {"d_model": 8}), other)
    with pytest.raises(ValueError, match="most at least per_chunk"):
        TranscriberConfig(most=4)
