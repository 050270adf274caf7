"""All subsets at once, dialogues of several rounds, answers of a server, and what the suites' scorers found."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from freeze_omni import pack
from freeze_omni.bin import run_suite as command
from freeze_omni.client.realtime import HZ, PIECE_S, ServerError, encode
from freeze_omni.eval import question
from freeze_omni.eval.suites import server
from freeze_omni.eval.suites.base import SuiteError, UroBench
from freeze_omni.eval.suites.run import SUITES
from freeze_omni.session.session import SpeechSession
from tests.data.corpora.clips import clip
from tests.eval.suites.test_suites import toy_of, uro_bench
from tests.session.model import toy_model


def dialogues(folder: Path) -> Path:
    """URO-Bench's form of a set of several rounds."""
    rows = []
    for key, rounds in ((3, 2), (8, 1)):
        turns = []
        for number in range(rounds):
            clip(number).write(folder / f"audio/{key}_{number}.wav")
            texts = {"source_text": f"Question {number}?", "target_text": "Yes"}
            turns.append({"round": number, "source_wav": f"audio/{key}_{number}.wav", **texts})
        rows.append({"id": key, "num_round": rounds, "dialogue": turns})
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    root = tmp_path_factory.mktemp("pack")
    return pack.save(toy_of(toy_model(root)), root / "pack", copy_llm=False)


def test_all_sets_of_uro_bench_by_a_model(packed, tmp_path, capsys):
    """Each in the folder where its evaluate.py looks; dialogues with the ids and rounds of the set."""
    uro_bench(tmp_path / "data/basic")
    dialogues(tmp_path / "data/pro/MtBenchEval-en")
    words = ["--data", tmp_path / "data", "--output", tmp_path / "eval", "--model", packed, "--max_new_tokens", 4]
    command.main(["uro_bench", "--all", *map(str, words)])
    said = capsys.readouterr().out
    assert f"{tmp_path}/eval/basic/AlpacaEval: 2 answers" in said and "eval/pro/MtBenchEval-en: 3 answers" in said
    assert len((tmp_path / "eval/basic/AlpacaEval/pred_text.jsonl").read_text().splitlines()) == 2
    path = tmp_path / "eval/pro/MtBenchEval-en/output_with_text.jsonl"
    first, second = map(json.loads, path.read_text().splitlines())
    assert (first["id"], first["num_round"], second["id"]) == (3, 2, 8)
    assert all(isinstance(turn["output_text"], str) for turn in first["dialogue"])
    items = UroBench().read(tmp_path / "data/pro/MtBenchEval-en", tmp_path)
    assert [item.id for item in items] == ["3/chat_0", "3/chat_1", "8/chat_0"]
    path.write_text(path.read_text().split("\n")[0] + "\n")
    with pytest.raises(SuiteError, match="for each round of each dialogue"):
        UroBench().check(path.parent, items)


def test_a_later_round_follows_on_the_earlier_ones(tmp_path, monkeypatch):
    """In the same session, whose history has grown."""
    sessions = []

    class Kept(SpeechSession):
        def __init__(self, *given):
            sessions.append(self)
            super().__init__(*given)

    monkeypatch.setattr(question, "SpeechSession", Kept)
    model = toy_model(tmp_path)
    sound = (0.1 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)
    alone = question.ask_rounds(model, [sound])
    first, second = question.ask_rounds(model, [sound, sound])
    assert len(sessions) == 2 and first.text == alone[0].text
    positions = [session.counts[0] for session in sessions]  # of the LLM before the last answer
    assert positions[1] > positions[0] + first.llm_tokens
    assert second.marks["done"] > first.marks["done"]


@pytest.mark.parametrize("name", ["big_bench_audio", "versa", "full_duplex_bench"])
def test_suites_of_one_set_say_so(name, packed, tmp_path):
    words = ["--data", str(tmp_path), "--output", str(tmp_path / "out"), "--model", str(packed)]
    with pytest.raises(SystemExit, match="leave out --all"):
        command.main([name, "--all", *words])


def test_voicebench_has_a_file_for_each_split(tmp_path):
    """sd-qa has one for each accent: rows are counted in each, as its main.py --split does."""
    import datasets

    def rows(count: int) -> datasets.Dataset:
        cells = [{"path": None, "bytes": clip(i).write(tmp_path / f"{i}.wav").read_bytes()} for i in range(count)]
        given = {"audio": cells, "prompt": ["What?"] * count, "reference": ["This"] * count}
        return datasets.Dataset.from_dict(given).cast_column("audio", datasets.Audio(decode=False))

    datasets.DatasetDict({"aus": rows(1), "usa": rows(2)}).save_to_disk(str(tmp_path / "saved/sd-qa"))
    outputs = tmp_path / "outputs/sd-qa"
    outputs.mkdir(parents=True)
    said = {"aus/00000": "Yes.", "usa/00000": "No.", "usa/00001": "Go on."}
    (outputs / "text").write_text("".join(f"{key} {text}\n" for key, text in said.items()))
    words = ["--data", tmp_path / "saved", "--outputs", tmp_path / "outputs", "--output", tmp_path / "out"]
    command.main(["voicebench", "--all", *map(str, words)])
    usa = (tmp_path / "out/sd-qa/freeze-omni-sd-qa-usa-audio.jsonl").read_text().splitlines()
    assert [json.loads(row)["response"] for row in usa] == ["No.", "Go on."]
    assert (tmp_path / "out/sd-qa/freeze-omni-sd-qa-aus-audio.jsonl").is_file()
    assert set(SUITES["voicebench"].subsets(Path("hlt-lab/voicebench"))) >= {"sd-qa", "ifeval"}


class Talk:
    """A Realtime session that answers each committed turn with its number, in text and 50 ms of sound."""

    def __init__(self, fails: bool = False) -> None:
        self.sent, self.turns, self.samples, self.fails = [], 0, 0, fails

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def configure(self, **session):
        self.sent.append(session)

    async def send(self, kind, **content):
        self.sent.append(kind)

    async def speak(self, sound):
        self.samples += len(sound)

    async def until(self, kind):
        if kind == "session.updated":
            return [{"type": kind}]
        if self.fails:
            raise ServerError("the session is over")
        self.turns += 1
        sound = {"type": "response.output_audio.delta", "delta": encode(np.full(HZ // 20, 0.1, np.float32))}
        return [
            {"type": "response.output_audio_transcript.delta", "delta": f"Answer {self.turns}"},
            sound,
            {"type": kind},
        ]


def test_a_server_answers_dialogues_in_one_session_each(tmp_path, monkeypatch):
    data, talks = dialogues(tmp_path / "data"), []
    monkeypatch.setattr(server, "_session", lambda args: talks.append(Talk()) or talks[-1])
    words = ["uro_bench", "--data", data, "--server", "ws://x", "--output", tmp_path / "out"]
    for _ in range(2):  # the second finds all answers
        command.main(list(map(str, words)))
    assert [talk.turns for talk in talks] == [2, 1]
    assert talks[0].sent[0] == {"audio": {"input": {"turn_detection": None}}}
    assert talks[0].sent[1:] == ["input_audio_buffer.commit", "response.create"] * 2
    rows = list(map(json.loads, (tmp_path / "out/output_with_text.jsonl").read_text().splitlines()))
    assert [[turn["output_text"] for turn in row["dialogue"]] for row in rows] == [
        ["Answer 1", "Answer 2"],
        ["Answer 1"],
    ]
    assert (tmp_path / "out/3/chat_1.wav").is_file()


class Live(Talk):
    """Speaks 50 ms as soon as 0.2 s were played to it."""

    session: dict = {}
    stop = "output_audio_buffer.cleared"

    async def events(self):
        while len(self.sent) < 0.2 / PIECE_S:
            await asyncio.sleep(0.01)
        yield {"type": "response.created"}
        yield {"type": "response.output_item.added", "item": {"id": "item"}}
        yield {"type": "response.output_audio.delta", "delta": encode(np.full(HZ // 20, 0.1, np.float32))}
        await asyncio.Event().wait()


def test_a_server_speaks_in_time_with_the_input(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "_session", lambda args: Live())
    clip(2).write(tmp_path / "data/candor_turn_taking/1/input.wav")
    words = ["--data", tmp_path / "data", "--server", "ws://x", "--output", tmp_path / "out"]
    command.main(["full_duplex_bench", *map(str, words)])
    said, hz = soundfile.read(tmp_path / "out/candor_turn_taking/1/output.wav")
    loud = np.flatnonzero(np.abs(said) > 0.05)
    assert 0.15 < loud[0] / hz < 1.0 and len(loud) == pytest.approx(hz // 20, abs=hz // 100)


def test_a_session_that_a_server_ends_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "_session", lambda args: Talk(fails=True))
    words = ["--data", dialogues(tmp_path / "data"), "--server", "ws://x", "--output", tmp_path / "out"]
    with pytest.raises(SystemExit, match="suite: error: --server: the session is over"):
        command.main(["uro_bench", *map(str, words)])


def test_the_clock_of_a_dialogue_waits_for_the_playback():
    begin = asyncio.new_event_loop()
    try:
        started = begin.time()
        begin.run_until_complete(server.ask_server(Talk(), [np.zeros(9, np.float32)] * 3))
        assert begin.time() - started >= 2 * 0.05
    finally:
        begin.close()


RESULTS = {
    "voicebench": (
        {"commoneval.log": "loads\n2025-01-01 | INFO | __main__:main:18 - {'gpt': np.float64(3.25)}\n"},
        ["| commoneval | gpt | 3.25 |"],
    ),
    "uro_bench": (
        {"evaluation.jsonl": '{"samples": 199, "score on AlpacaEval": 52.5}\n{"final_score": 48.0}\n'},
        ["| AlpacaEval | samples | 199 |", "| AlpacaEval | score | 52.5 |", "| all | final_score | 48 |"],
    ),
    "full_duplex_bench": (
        {
            "backchannel.log": "x: 3\n[Result]\nJSD - Mean: 0.6490 ± 0.0100\nTOR - Mean: 0.3270 ± 0.2\n",
            "smooth.log": "[Result]\nAverage take turn:  0.95\nAverage latency:  0.26\n",
            "user_interruption_behavior.log": "Ratios (C-axis): {'C_RESPOND': 0.75, 'C_RESUME': 0.25}\n",
            "user_backchannel/1/latency_intervals.json": '{"latency_stop_list": [[1, 2]], "latency_resp_list": []}',
            "user_backchannel/2/latency_intervals.json": '{"latency_stop_list": [[1, 3]], "latency_resp_list": []}',
        },
        [
            "| backchannel | JSD | 0.649 |",
            "| smooth | take turn | 0.95 |",
            "| smooth | latency | 0.26 |",
            "| user_interruption_behavior | ratio C_RESPOND | 0.75 |",
            "| user_backchannel timing | latency_stop_list, mean s | 1.5 |",
        ],
    ),
    "versa": (
        {"utt.jsonl": '{"key": "a", "utmos": 4.0, "text": "x"}\n{"key": "b", "utmos": 3.0}\n'},
        ["| utt | utmos | 3.5 |"],
    ),
}


@pytest.mark.parametrize("name", RESULTS)
def test_what_a_scorer_found_is_read(name, tmp_path, capsys):
    files, rows = RESULTS[name]
    for file, content in files.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(content)
    command.main([name, "--results", str(tmp_path), "--output", str(tmp_path / "read")])
    said = capsys.readouterr().out.splitlines()
    assert [row for row in rows if row not in said] == [], said
    assert json.loads((tmp_path / "read/results.json").read_text())["suite"] == name
    (tmp_path / "none").mkdir()
    with pytest.raises(SystemExit, match="no result of"):
        command.main([name, "--results", str(tmp_path / "none")])


def test_what_is_missing_is_told(packed, tmp_path):
    with pytest.raises(SystemExit, match="--data is missing"):
        command.main(["uro_bench", "--model", str(packed)])
    with pytest.raises(SystemExit, match="has no scorer whose result is read"):
        command.main(["openaudiobench", "--results", str(tmp_path)])
