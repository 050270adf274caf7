"""What clients are used to: each event of the protocol gives a result or one clear error, in words that they know."""

from __future__ import annotations

import json

import numpy as np
import pytest

from freeze_omni.engine.slot import Configured, Counted, Gated, Refused, Reply
from freeze_omni.server.protocol import AudioSpent
from freeze_omni.session import events as ev
from freeze_omni.session.session import SessionConfig
from tests.server.rig import pcm
from tests.server.talk import OPENAI, OURS, Talk, codes, kinds

SOUND = pcm(np.zeros(4800))
ANSWER = (ev.AnswerBegun(1), ev.TextDelta("Well,"), ev.PlayAudio(np.zeros(4800, np.float32)))
ENDED = (Counted(40, 30, 5, 9), ev.AnswerKept("Well,", "done"), ev.AnswerEnded("done"))


def spoken_turn(talk):
    """A turn aloud, an answer, and an interruption by voice."""
    talk.update(audio={"input": {"turn_detection": {"type": "server_vad"}}})
    talk.send("input_audio_buffer.append", audio=SOUND)
    talk.work(Gated(True, 0.1), Gated(False, 0.3))
    talk.work(ev.TranscriptDelta("hello", True), *ANSWER)
    talk.work(Gated(True, 1.0))
    talk.work(ev.StopAudio(), ev.AnswerKept("Well,", "interrupted"), ev.AnswerEnded("interrupted"))


def typed_turn(talk):
    talk.text("Hello")
    talk.send("response.create")
    talk.work(*ANSWER)
    talk.work(*ENDED)


# events


def test_a_client_gets_only_events_that_openai_sends_over_a_websocket():
    talk = Talk()
    spoken_turn(talk)
    typed_turn(talk)
    talk.send("no.such")
    talk.send("conversation.item.retrieve", item_id=talk.seen[-3].get("item_id", ""))
    talk.protocol.rebuilt()
    talk.seen += talk.protocol.take()
    for event in talk.seen:
        OPENAI.validate_json(json.dumps(event))
    assert not set(OURS) & set(kinds(talk.seen))


def test_events_of_our_own_come_to_those_who_ask_for_them():
    talk = Talk()
    talk.update(freeze_omni={"states": True, "cleared": True})
    talk.work(ev.StateDecision(1, (0.1, 0.8, 0.1), 0.16))
    spoken_turn(talk)
    assert {"freeze_omni.state", "output_audio_buffer.cleared"} <= set(kinds(talk.seen))


def test_a_client_that_follows_pauses_is_told_of_them():
    talk = Talk()
    talk.update(freeze_omni={"pauses": True})
    assert talk.told[0].pauses
    talk.text("Hello")
    talk.send("response.create")
    created = talk.work(*ANSWER)[0]["response"]
    told = talk.work(ev.PauseAudio(), ev.ResumeAudio())
    assert kinds(told) == ["freeze_omni.paused", "freeze_omni.resumed"]
    assert {event["response_id"] for event in told} == {created["id"]}


def test_a_response_that_is_done_has_a_usage():
    talk = Talk()
    typed_turn(talk)
    spoken_turn(talk)
    talk.text("And then?")
    talk.send("response.create")
    talk.work(ev.AnswerBegun(2))
    talk.protocol.rebuilt()  # the worker is lost in the middle
    talk.seen += talk.protocol.take()
    done = [event["response"] for event in talk.seen if event["type"] == "response.done"]
    assert [response["status"] for response in done] == ["completed", "cancelled", "failed"]
    for response in done:
        usage = response["usage"]
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        assert usage["input_token_details"] and usage["output_token_details"]
    assert done[0]["usage"]["output_token_details"] == {"text_tokens": 5, "audio_tokens": 9}
    assert done[0]["usage"]["input_token_details"]["cached_tokens"] == 30
    assert done[2]["status_details"]["error"]["message"]


# items


def test_a_deleted_item_is_gone():
    talk = Talk()
    talk.text("First.", id="keep")
    talk.text("My key is 1234.", id="secret")
    assert kinds(talk.send("conversation.item.delete", item_id="secret")) == ["conversation.item.deleted"]
    assert codes(talk.send("conversation.item.retrieve", item_id="secret")) == ["item_not_found"]
    assert codes(talk.send("conversation.item.delete", item_id="secret")) == ["item_not_found"]
    assert talk.text("Next.")[0]["previous_item_id"] == "keep"
    assert codes(talk.text("Later.", previous="secret")) == ["item_not_found"]
    talk.send("response.create")
    assert talk.told == [ev.TextInput("First. Next.")]
    talk.work(*ANSWER, *ENDED)
    assert "1234" not in repr(talk.protocol.rebuilt())


def test_what_the_model_has_read_is_not_deleted_in_silence():
    talk = Talk()
    talk.text("Hello", id="mine")
    talk.send("response.create")
    assert codes(talk.send("conversation.item.delete", item_id="mine")) == ["invalid_value"]
    assert kinds(talk.send("conversation.item.retrieve", item_id="mine")) == ["conversation.item.retrieved"]


def test_how_much_was_heard_of_an_answer_is_told_after_it_has_stopped():
    """As clients do at `speech_started`: the server has stopped by then."""
    talk = Talk()
    spoken_turn(talk)
    item = next(event["item"]["id"] for event in talk.seen if event["type"] == "response.output_item.added")
    assert kinds(talk.send("conversation.item.truncate", item_id=item, audio_end_ms=500)) == [
        "conversation.item.truncated"
    ]
    assert talk.told == [ev.Truncate(12000, 1)]
    assert talk.work(ev.AnswerKept("We", "interrupted")) == []
    (found,) = talk.send("conversation.item.retrieve", item_id=item)
    assert found["item"]["content"][0]["transcript"] == "We"
    talk.text("And then?")
    talk.send("response.create")
    talk.work(ev.AnswerBegun(2))
    talk.send("conversation.item.truncate", item_id=item, audio_end_ms=500)
    assert talk.told == [], "the answer is not the last one any more"


def test_an_answer_of_which_nothing_was_heard_can_be_deleted():
    """As LiveKit does."""
    talk = Talk()
    spoken_turn(talk)
    item = next(event["item"]["id"] for event in talk.seen if event["type"] == "response.output_item.added")
    assert codes(talk.send("conversation.item.delete", item_id=item)) == ["invalid_value"]
    talk.work(ev.AnswerKept("", "interrupted"))
    assert kinds(talk.send("conversation.item.delete", item_id=item)) == ["conversation.item.deleted"]
    assert talk.told == [ev.Truncate(0, 1)]


def test_the_words_of_a_turn_are_told_once():
    talk = Talk()
    spoken_turn(talk)
    added = [event["item"] for event in talk.seen if event["type"] == "conversation.item.added"]
    assert added[0]["role"] == "user" and added[0]["content"] == [{"type": "input_audio", "transcript": None}]
    done = [event["transcript"] for event in talk.seen if event["type"].endswith("transcription.completed")]
    assert done == ["hello"]


@pytest.mark.parametrize("wrong", ["", 7, "x" * 65, ["a"], {}])
def test_a_wrong_id_of_an_item_is_refused(wrong):
    assert codes(Talk().text("Hello", id=wrong)) == ["invalid_value"]


def test_an_id_stands_for_one_item():
    talk = Talk()
    talk.text("One.", id="same")
    assert codes(talk.text("Two.", id="same")) == ["item_already_exists"]
    talk.send("conversation.item.delete", item_id="same")
    assert kinds(talk.text("Three.", id="same"))[0] == "conversation.item.added"
    talk.send("response.create")
    assert talk.told == [ev.TextInput("Three.")]


# sessions

NULLS = [
    {name: None}
    for name in ("instructions", "output_modalities", "max_output_tokens", "tools", "tool_choice", "audio", "type")
    + ("tracing", "truncation", "include", "prompt", "freeze_omni", "model")
] + [
    {"audio": {"input": None}},
    {"audio": {"output": None}},
    {"audio": {"input": {"format": None, "noise_reduction": None}}},
    {"audio": {"input": {"format": {"type": None, "rate": None}}}},
    {"audio": {"output": {"format": None, "speed": None, "voice": None}}},
    {"freeze_omni": {"states": None, "seed": None, "temperature": None, "cleared": None}},
]


@pytest.mark.parametrize("nulls", NULLS, ids=str)
def test_null_is_the_default(nulls):
    talk = Talk()
    before = talk.protocol.session
    talk.update(
        instructions="Be brief.",
        output_modalities=["text"],
        audio={"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcma"}}},
        freeze_omni={"states": True, "seed": 3, "temperature": 1.0},
    )
    changed = talk.protocol.session
    assert kinds(talk.update(**nulls)) == ["session.updated"]
    for name, value in nulls.items():
        if value is None and name not in ("audio", "freeze_omni"):
            assert talk.protocol.session.get(name) == before.get(name)
    talk.update(audio={"input": {"format": None}, "output": {"format": None}})
    assert talk.protocol.session["audio"] == before["audio"] != changed["audio"]


@pytest.mark.parametrize("kind", ["semantic_vad", "server_vad"])
def test_null_in_turn_detection_is_the_default(kind):
    plain, nulls = Talk(), Talk()
    plain.update(audio={"input": {"turn_detection": {"type": kind}}})
    turns = plain.protocol.session["audio"]["input"]["turn_detection"]
    nulls.update(audio={"input": {"turn_detection": {**dict.fromkeys(turns), "type": kind}}})
    assert nulls.protocol.session["audio"] == plain.protocol.session["audio"]
    nulls.update(audio={"input": {"turn_detection": None}})
    assert nulls.protocol.session["audio"]["input"]["turn_detection"] is None


@pytest.mark.parametrize(
    "event",
    [
        {"type": "session.update", "session": {"type": "transcription"}},
        {"type": "session.update", "session": {"prompt": {"id": "pmpt_1"}}},
        {"type": "transcription_session.update", "session": {}},
        {"type": "response.create", "response": {"tools": [{"type": "function", "name": "f"}]}},
        {"type": "response.create", "response": {"tool_choice": {"type": "function", "name": "f"}}},
        {"type": "response.create", "response": {"conversation": "none"}},
        {"type": "response.create", "response": {"input": [{}]}},
        {"type": "response.create", "response": {"colour": 1}},
        {"type": "response.create", "response": {"metadata": {"a": {}}}},
        {"type": "response.create", "response": {"audio": {"output": {"speed": 2}}}},
        {"type": "response.cancel"},
        {"type": "response.cancel", "response_id": "another"},
        {"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "c", "output": ""}},
        {"type": "conversation.item.delete", "item_id": "none"},
        {"type": "conversation.item.truncate", "item_id": "none", "audio_end_ms": 0},
        {"type": "input_audio_buffer.commit"},
        {"type": "input_audio_buffer.append", "audio": "%"},
        {"type": "output_audio_buffer.clear"},
        {"type": "no.such"},
    ],
    ids=str,
)
def test_what_is_refused_names_the_request_and_changes_nothing(event):
    talk = Talk()
    before = talk.protocol.session
    events = talk.take({**event, "event_id": "mine"})
    assert kinds(events) == ["error"] and talk.told == [] and talk.protocol.session == before
    assert events[0]["error"]["event_id"] == "mine"


@pytest.mark.parametrize("tools", [{"tools": [{"type": "function", "name": "f"}]}, {"tool_choice": "required"}])
def test_a_session_goes_on_without_the_tools_that_a_client_wants(tools, caplog):
    talk = Talk()
    for _ in range(3):
        (updated,) = talk.update(instructions="Be brief.", **tools)
    assert updated["type"] == "session.updated" and updated["session"]["instructions"] == "Be brief."
    assert updated["session"]["tools"] == [] and updated["session"]["tool_choice"] == "none"
    (path, why), *_ = updated["session"]["freeze_omni"]["refused"].items()
    assert path == f"session.{next(iter(tools))}" and "calls no tools" in why
    assert [path in record.getMessage() for record in caplog.records] == [True], "the server says it once"
    again = talk.update(**{name: value for name, value in updated["session"].items() if name != "instructions"})
    assert again[0]["session"]["freeze_omni"]["refused"] == {}


def test_a_response_may_have_its_own_format():
    talk = Talk()
    talk.text("Hello")
    talk.send("response.create", response={"audio": {"output": {"format": {"type": "audio/pcmu"}}}})
    events = talk.work(*ANSWER)
    sound = next(event["delta"] for event in events if event["type"] == "response.output_audio.delta")
    assert len(sound) < 4800 and talk.protocol.session["audio"]["output"]["format"]["type"] == "audio/pcm"


# what the model refuses


def test_a_configuration_that_does_not_fit_is_taken_back():
    talk = Talk()
    talk.update(instructions="Be brief.")
    (good,) = talk.told
    talk.work(Configured(good))
    talk.update(instructions="Too long.")
    (bad,) = talk.told
    events = talk.work(Refused("does not fit", bad))
    assert codes(events) == ["invalid_value"] and events[1]["session"]["instructions"] == "Be brief."
    talk.update(max_output_tokens=7)
    assert talk.told[0].system == "Be brief.", "what was refused is not sent again"


def test_a_response_whose_instructions_do_not_fit_is_not_made_and_can_be_asked_for_again():
    talk = Talk()
    talk.text("Hello")
    talk.send("response.create", response={"instructions": "Too long."})
    (asked,) = talk.told
    assert isinstance(asked, Reply) and asked.config.system == "Too long."
    assert kinds(talk.work(Refused("does not fit", asked.config))) == ["error"]
    talk.send("response.create")
    assert talk.told == [ev.TextInput("Hello")]


def test_a_text_that_does_not_fit_leaves_the_conversation():
    talk = Talk()
    talk.text("Long.", id="long")
    talk.send("response.create")
    assert kinds(talk.work(Refused("does not fit", ev.TextInput("Long.")))) == ["error", "conversation.item.deleted"]
    assert codes(talk.send("conversation.item.retrieve", item_id="long")) == ["item_not_found"]
    talk.send("response.create")
    assert talk.told == [ev.Respond()]


def test_a_bot_that_speaks_first_is_answered_under_its_own_metadata():
    talk = Talk()
    talk.send("response.create", event_id="e1", response={"metadata": {"client_event_id": "e1"}})
    assert talk.told == [ev.Respond()]
    events = talk.work(*ANSWER, *ENDED)
    assert [e["response"]["metadata"] for e in events if "response" in e] == [{"client_event_id": "e1"}] * 2
    assert "error" not in kinds(events)


def test_a_response_can_be_cancelled_before_it_begins():
    talk = Talk()
    talk.text("Hello")
    talk.send("response.create")
    assert talk.send("response.cancel") == [] and talk.told == [ev.Interrupt()]
    talk.work(ev.AnswerBegun(1))
    events = talk.work(ev.StopAudio(), ev.AnswerKept("", "interrupted"), ev.AnswerEnded("interrupted"))
    assert events[-2]["response"]["status_details"]["reason"] == "client_cancelled"


def test_a_cancel_is_of_the_answer_that_its_client_hears():
    talk = Talk()
    typed_turn(talk)
    talk.text("And then?")
    talk.send("response.create")
    talk.work(ev.AnswerBegun(2), ev.TextDelta("Well,"))
    talk.send("response.cancel")
    assert talk.told == [ev.Interrupt(answer=2)]


def test_a_text_whose_worker_is_lost_before_its_answer_begins_is_asked_again():
    talk = Talk()
    typed_turn(talk)
    talk.text("And then?")
    talk.send("response.create")
    told = talk.protocol.rebuilt()
    assert told == [ev.Remember("Hello", "Well,"), ev.TextInput("And then?")]
    assert codes(talk.protocol.take()) == ["worker_lost"]
    assert kinds(talk.work(*ANSWER))[0] == "response.created"


# budgets


def test_texts_that_wait_for_a_response_have_a_bound():
    talk = Talk(text_chars=50)
    assert codes(talk.text("x" * 40)) == [] and codes(talk.text("x" * 40)) == ["invalid_value"]
    talk.send("response.create")
    assert codes(talk.text("x" * 40)) == []
    parts = [{"type": "input_text", "text": "x"}] * 60
    item = {"type": "message", "role": "user", "content": parts}
    assert codes(talk.send("conversation.item.create", item=item)) == ["invalid_value"]


def test_a_conversation_has_a_bound_in_items_and_in_characters():
    few, short = Talk(items=3), Talk(items_chars=100)
    for talk in (few, short):
        for number in range(10):
            talk.text("x" * 30, role="assistant", kind="output_text", id=f"m{number}")
        found = [codes(talk.send("conversation.item.retrieve", item_id=f"m{number}")) for number in range(10)]
        assert found == [["item_not_found"]] * 7 + [[]] * 3


def test_what_a_client_sends_is_not_repeated_at_any_length():
    talk = Talk()
    for event in (
        {"type": "x" * 10**6, "event_id": "y" * 10**6},
        {"type": "session.update", "session": {"z" * 10**6: 1}},
        {"type": "session.update", "session": {"audio": {"input": {"transcription": {"model": "m" * 10**6}}}}},
        {"type": "response.create", "response": {"metadata": {"k": "v" * 10**6}}},
        {"type": "response.create", "response": {"metadata": dict.fromkeys(map(str, range(1000)), "")}},
    ):
        (error,) = talk.take(event)
        assert error["type"] == "error" and len(json.dumps(error)) < 3000


# fuzz

TEXTS = [
    "",
    "Hello",
    "x" * 60,
    "\u2028",
    "\ud800",
    "\x00",
    "item",
    "root",
    "audio/pcm",
    "realtime",
    "none",
    "auto",
    "inf",
]
NUMBERS = [0, 1, -1, 2**40, 0.5, 1e308, True, False, None]
KEYS = """type event_id session audio input output format rate turn_detection transcription noise_reduction voice speed
    instructions output_modalities max_output_tokens tools tool_choice prompt freeze_omni states cleared seed
    temperature top_k top_p threshold create_response interrupt_response prefix_padding_ms silence_duration_ms eagerness
    idle_timeout_ms item id role content text item_id previous_item_id content_index audio_end_ms response metadata
    conversation response_id model include tracing truncation""".split()
TYPES = """session.update input_audio_buffer.append input_audio_buffer.commit input_audio_buffer.clear
    conversation.item.create conversation.item.truncate conversation.item.delete conversation.item.retrieve
    response.create response.cancel transcription_session.update output_audio_buffer.clear""".split()
GOOD = [
    {"type": "session.update", "session": {"instructions": "Be brief.", "audio": {"input": {"format": {}}}}},
    {"type": "session.update", "session": {"audio": {"input": {"turn_detection": {"type": "server_vad"}}}}},
    {"type": "input_audio_buffer.append", "audio": SOUND},
    {"type": "input_audio_buffer.commit"},
    {
        "type": "conversation.item.create",
        "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
    },
    {"type": "response.create", "response": {"metadata": {"a": "b"}, "output_modalities": ["text"]}},
    {"type": "conversation.item.delete", "item_id": "item"},
]
WORK = [
    (ev.AnswerBegun(1), ev.TextDelta("Well,")),
    (ev.PlayAudio(np.zeros(600, np.float32)),),
    ENDED,
    (ev.StopAudio(), ev.AnswerKept("W", "interrupted"), ev.AnswerEnded("interrupted")),
    (Gated(True, 0.1),),
    (Gated(False, 0.2), ev.TranscriptDelta("hi", True)),
]


def anything(rng, depth=0):
    """A value that JSON can carry."""
    choice = rng.integers(6 if depth < 3 else 3)
    if choice < 2:
        return TEXTS[rng.integers(len(TEXTS))]
    if choice == 2:
        return NUMBERS[rng.integers(len(NUMBERS))]
    if choice == 3:
        return [anything(rng, depth + 1) for _ in range(rng.integers(3))]
    return {KEYS[rng.integers(len(KEYS))]: anything(rng, depth + 1) for _ in range(rng.integers(4))}


def mutated(rng, value):
    """A right event with something wrong in it, maybe."""
    if rng.random() < 0.15:
        return anything(rng)
    if isinstance(value, dict):
        more = {KEYS[rng.integers(len(KEYS))]: anything(rng)} if rng.random() < 0.2 else {}
        return {key: mutated(rng, part) for key, part in value.items()} | more
    return [mutated(rng, part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", range(4))
def test_any_event_gives_a_result_or_one_error(seed):
    rng, answered = np.random.default_rng(seed), 0
    talk = Talk(text_chars=200, audio_s=10**6)
    for _ in range(500):
        event = mutated(rng, GOOD[rng.integers(len(GOOD))]) if rng.random() < 0.7 else anything(rng)
        if isinstance(event, dict) and rng.random() < 0.5:
            event["type"] = TYPES[rng.integers(len(TYPES))]
        try:
            events = talk.take(event)
        except ValueError as error:  # half a surrogate pair: refused before it is an event
            assert "no text" in str(error)
            continue
        except AudioSpent:
            pytest.fail("the audio of all events is short")
        errors = [one for one in events if one["type"] == "error"]
        assert len(errors) <= 1 and not (errors and len(events) > 1), events
        quiet = {"input_audio_buffer.append", "response.create", "response.cancel", "input_audio_buffer.commit"}
        assert events or event["type"] in quiet, f"{event} is dropped in silence"
        assert not errors or talk.told == [] or event["type"] == "input_audio_buffer.append"
        assert len(json.dumps(events, ensure_ascii=False).encode()) < 20_000
        answered += not errors
        if rng.random() < 0.3:
            talk.work(*WORK[rng.integers(len(WORK))])
        elif rng.random() < 0.05:
            talk.work(Refused("no", talk.told[0] if talk.told and isinstance(talk.told[0], SessionConfig) else None))
    assert answered > 50, "the fuzz reaches what is behind the checks"
