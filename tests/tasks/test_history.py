"""Stage 1.3 with `history: speech` reads earlier rounds as a session keeps them."""

from __future__ import annotations

import json

import pytest
import torch

from freeze_omni.listening import Listening
from tests.tasks.corpus import TEXTS, write_corpus

SPEECH = {"prompt": 5, "history": "speech"}


@pytest.fixture
def rounds(toy, tmp_path, monkeypatch):
    """A corpus with a dialogue of three rounds, utt0 to utt0-round3, and one whose first round has no sound."""
    folder = write_corpus(tmp_path / "data")
    names = {"utt1": "utt0-round2", "utt2": "utt0-round3", "utt3": "lost-round2"}
    for path in folder.iterdir():
        if path.suffix != ".wav":
            lines = [line.split(" ", 1) for line in path.read_text().splitlines()]
            path.write_text("".join(f"{names.get(uid, uid)} {rest}\n" for uid, rest in lines))
    said = [[TEXTS[0], "Yes, it is."], [TEXTS[1], "No."]]
    history = {"utt0-round2": said[:1], "utt0-round3": said, "lost-round2": said[:1]}
    (folder / "history").write_text("".join(f"{uid} {json.dumps(turns)}\n" for uid, turns in history.items()))
    for name in ("llm", "units"):
        (tmp_path / name).symlink_to(toy.folder / name)
    monkeypatch.setattr(toy, "folder", tmp_path)
    return toy, said


def read_by_llm(model, batch):
    """What the LLM reads of each row (P_i, E)."""
    seen = []
    handle = model.llm.register_forward_pre_hook(lambda _, given: seen.append(given))
    model.eval()(**batch)
    handle.remove()
    embeds, mask = seen[0][:2]
    return [row[real] for row, real in zip(embeds, mask, strict=True)]


def test_training_reads_what_a_session_reads(rounds):
    toy, said = rounds
    model, args = toy.build("1.3", model=SPEECH, system="Be kind.")
    batch = toy.batch("1.3", args)  # in the order of ids: lost-round2, utt0, utt0-round2, utt0-round3
    found = read_by_llm(model, batch)
    order, listening = model.llm.order, Listening(model.frontend, model.encoder, model.ctc, model.adapter)

    def embed(ids):
        return model.llm.embed(torch.tensor(ids))

    def heard(row):
        wav = batch["speech"][row : row + 1, : int(batch["speech_lengths"][row])]
        state, sent = listening.initial_state(1), []
        for chunk in wav.split(2560, dim=1):
            out, state = listening.step(chunk, state)
            sent.append(out.adapted.embeds[0])
        return torch.cat(sent)

    expected = [embed(order.system("Be kind."))]
    for number, (row, (_, answer)) in enumerate(zip((1, 2), said, strict=True)):
        turn = order.spoken_turn(model.prompt.weight, heard(row), embed(order.suffix()), embed(order.answer(answer)))
        expected += [embed(order.prefix(first=number == 0)), turn]
    expected += [embed(order.prefix(first=False)), model.prompt.weight, heard(3)]
    expected = torch.cat(expected)
    torch.testing.assert_close(found[3][: len(expected)], expected, rtol=1e-3, atol=1e-4)


def test_without_earlier_rounds_or_their_sound_it_is_that_of_text(rounds):
    toy, _ = rounds
    spoken, args = toy.build("1.3", model=SPEECH)
    batch = toy.batch("1.3", args)
    written, args = toy.build("1.3", model={"prompt": 5})
    written.load_state_dict(spoken.state_dict())
    plain = toy.batch("1.3", args)
    assert "opening" not in plain and args.model["history"] == "text"
    same = [
        one.shape == other.shape and torch.allclose(one, other, atol=1e-5)
        for one, other in zip(read_by_llm(spoken, batch), read_by_llm(written, plain), strict=True)
    ]
    assert same == [True, True, False, False]


def test_the_teacher_reads_text_and_the_prompt_of_earlier_rounds_learns(rounds):
    toy, _ = rounds
    model, args = toy.build("1.3", model=SPEECH | {"kl_weight": 1.0})
    loss, stats, _ = model.train()(**toy.batch("1.3", args))
    loss.backward()
    assert stats["kl"] > 0 and model.prompt.weight.grad.abs().sum() > 0
