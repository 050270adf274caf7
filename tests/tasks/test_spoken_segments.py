"""Stage 2.3 on segments: those of a session, with their own rows, speech tokens and hidden states."""

from __future__ import annotations

import shutil

import torch

from freeze_omni.speech_decoder.segment import SegmentConfig
from freeze_omni.tasks.prefix import segment_rows, spoken_segments
from tests.toy import toy_tokenizer

RELEASED = SegmentConfig(rule="released")
SAID = "One, two and three. It is four! The last of five"


def test_segments_are_those_that_a_session_cuts():
    tokenizer = toy_tokenizer()
    ids = tokenizer.encode(SAID, add_special_tokens=False)
    found = spoken_segments(ids, RELEASED, tokenizer)
    assert "".join(one.text for one in found) == SAID and len(found) > 2
    assert [one.first_token for one in found[1:]] == [one.end_token for one in found[:-1]]
    for one in found:
        assert tokenizer.decode(ids[one.first_token : one.end_token]) == one.text


def test_rows_of_a_segment_say_its_words():
    tokenizer = toy_tokenizer()
    segments = spoken_segments(tokenizer.encode(SAID, add_special_tokens=False), RELEASED, tokenizer)
    rows = list(SAID)
    assert ["".join(rows[start:end]) for start, end in segment_rows(segments, rows)] == [one.text for one in segments]


def test_rows_of_a_text_in_another_style_are_found():
    segments = spoken_segments(
        toy_tokenizer().encode("It is 10 km. Go on, please.", add_special_tokens=False), RELEASED, toy_tokenizer()
    )
    words = ["It", " is", " ten", " kilometers", ".", " Go", " on", ",", " please", "."]
    said = ["".join(words[start:end]) for start, end in segment_rows(segments, words)]
    assert "".join(said) == "".join(words)
    assert len(said) == len(segments) == 1 or said[0] == "It is ten kilometers."


def test_the_prefix_reads_the_states_of_what_is_spoken(toy, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(toy.folder / "data", data)
    options = {"model": {"segments": {"rule": "released"}}}
    whole, args = toy.build("2.3")
    texts = toy.batch("2.3", args)
    lines = (data / "tokens").read_text().splitlines()
    told = [line.split() for line in lines if line.split()[0] in ("utt0", "utt2")]  # those with an answer
    durations = []
    for (uid, *tokens), count in zip(told, texts["text_lengths"].tolist(), strict=True):
        rows = [len(tokens) // count + (row < len(tokens) % count) for row in range(count)]
        durations.append(f"{uid} {' '.join(map(str, rows))}\n")
    (data / "durations").write_text("".join(durations))
    model, args = toy.build("2.3", **options)
    args.train_dir = args.valid_dir = [str(data)]
    batch = toy.batch("2.3", args)
    sizes = batch["segment"][:, 1] - batch["segment"][:, 0]
    assert (sizes > 0).all() and (sizes <= batch["answer_lengths"]).all()
    assert torch.equal(batch["row_tokens"].clamp(min=0).sum(1), batch["tokens_lengths"])
    states, lengths = model.condition(batch)
    assert torch.equal(lengths, sizes)
    full, _ = whole.condition(texts)
    start, end = batch["segment"][0].tolist()
    torch.testing.assert_close(states[0, : end - start], full[0, start:end])
    model(**batch)[0].backward()
