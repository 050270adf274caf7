"""The OpenAI Realtime protocol (GA) for one client, as a state machine without a socket.

`from_client` takes an event of the client, `from_worker` what the session did. Both return what to put into the session
and collect the events for the client, which `take` hands out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from freeze_omni.engine.slot import Configured, Counted, Gated, Input, Output, Refused, Reply
from freeze_omni.rates import Rates
from freeze_omni.server import session_object
from freeze_omni.server.config import Limits
from freeze_omni.server.items import Event, InputBuffer, Items, item_events, message, new_id, words
from freeze_omni.server.response import WORKER_LOST, Response, usage
from freeze_omni.server.session_object import session_config
from freeze_omni.server.wire import Decoder, Encoder, RequestError
from freeze_omni.session import events as ev
from freeze_omni.session.reducer import TurnDetection
from freeze_omni.session.session import SessionConfig

Item = np.ndarray | Input
MOST_ID, MOST_ECHO = 64, 500  # characters of an item's id, and of what an error repeats


class AudioSpent(RuntimeError):
    """A session has had all the audio that it may have."""


class RealtimeProtocol:
    """own_prompt: the model's system prompt. longest_answer: the most tokens of an answer."""

    def __init__(self, model: str, own_prompt: str, longest_answer: int, rates: Rates, limits: Limits) -> None:
        self.id, self.key = new_id("conv"), new_id("sess")
        self.limits, self.rates = limits, rates
        self.session = self._default = session_object.new_session(self.key, model, own_prompt)
        self.items = Items(limits.items, limits.items_chars)
        self.refused = False  # whether the last event of the client was
        self.events: list[Event] = []
        self._own_prompt, self._longest = own_prompt, longest_answer
        self._input = InputBuffer(self.items)
        self._decoder = Decoder(self.session["audio"]["input"]["format"]["type"], rates.input_hz)
        self._pending: list[dict[str, Any]] = []
        self._wanted: dict[str, Any] = {}
        self._response: Response | None = None
        self._last: Response | None = None  # until the next begins; its user may still tell how much of it was heard
        self._asking: list[dict[str, Any]] = []  # typed items of the response that was asked for
        self._ask: Item | None = None  # what asked for it; None if none is asked for
        self._asked_to_stop = False
        self._warned: set[str] = set()
        self._heard_s = 0.0
        self._sent = self._agreed = self.config
        self._agreed_session = self.session
        self._tell({"type": "session.created", "session": self.session})

    @property
    def config(self) -> SessionConfig:
        """The session's configuration as chosen so far."""
        return session_config(self.session, self._own_prompt, self._longest)

    def take(self) -> list[Event]:
        events, self.events = self.events, []
        return events

    def from_client(self, event: Any) -> list[Item]:
        """What to put into the session because of a client's event; a wrong one gives an `error`. Raises AudioSpent."""
        own = event.get("event_id") if isinstance(event, dict) else None
        own = own[:MOST_ECHO] if isinstance(own, str) else None
        self.refused = False
        try:
            if not isinstance(event, dict) or not isinstance(event.get("type"), str):
                raise RequestError("An event is a JSON object with a 'type'.", "invalid_event")
            rule = _CLIENT.get(event["type"])
            if rule is None:
                raise RequestError(f"Unknown event type '{event['type']}'.", "unknown_event", "type")
            return rule(self, event)
        except RequestError as error:
            self.refused = True
            self.error(str(error), error.code, param=error.param, event_id=own)
        return []

    def from_worker(self, outputs: list[Output]) -> list[Item]:
        """Report to the client what its session did; what to put into the session because of it."""
        answered = any(isinstance(output, ev.AnswerBegun) for output in outputs)
        for output in outputs:
            self._told(output, answered)
        return self._configure(self.config)

    def error(self, text: str, code: str, kind: str = "invalid_request_error", **at: Any) -> None:
        """Report an error to the client. at: `param` and `event_id`, the field and the event at fault."""
        at = {name: value and value[:MOST_ECHO] for name, value in at.items()}
        detail = {"type": kind, "code": code, "message": text[:MOST_ECHO], "param": None, "event_id": None, **at}
        self._tell({"type": "error", "error": detail})

    def rebuilt(self) -> list[Item]:
        """The session's worker is lost: what to put into a new session, so that the dialogue goes on."""
        if self._response is not None and not self._response.done:
            self._end_response(self._response, self._response.text, "failed")
        self._response = self._last = None
        self._input.forget()
        self._sent = self._agreed = self.config
        self.error(WORKER_LOST["message"], WORKER_LOST["code"], WORKER_LOST["type"])
        again = [] if self._ask is None or not self._asking else [self._ask]  # what was said aloud is lost
        self._ask = again[0] if again else None
        return [*(ev.Remember(user, answer) for user, answer in self.items.exchanges()), *again]

    # from the client

    def _session_update(self, event: Event) -> list[Item]:
        self.session = session_object.update(self.session, event.get("session"), self._default, self.limits)
        kind = self.session["audio"]["input"]["format"]["type"]
        if kind != self._decoder.kind:
            self._decoder = Decoder(kind, self.rates.input_hz)
        self._tell({"type": "session.updated", "session": self.session})
        for path, why in self.session["freeze_omni"]["refused"].items():
            if path not in self._warned:  # few clients show what `session.updated` says
                logging.warning("session %s: '%s' is left out. %s", self.key, path, why)
                self._warned.add(path)
        return self._configure(self.config)

    def _append(self, event: Event) -> list[Item]:
        before = self._decoder.seconds
        samples = self._decoder(event.get("audio"))
        new_s = self._decoder.seconds - before
        self._heard_s += new_s
        if self._heard_s > self.limits.audio_s:
            raise AudioSpent(f"A session hears at most {self.limits.audio_s:.0f} s of audio.")
        self._input.uncommitted_s += new_s
        return [samples] if len(samples) else []

    def _commit(self, event: Event) -> list[Item]:
        if not self._input.uncommitted_s:
            raise RequestError("The input audio buffer is empty.", "input_audio_buffer_commit_empty")
        if self.config.turn_detection is not TurnDetection.MANUAL:
            return [ev.Timeout()]
        self._tell(*self._input.commit())
        return []

    def _clear(self, event: Event) -> list[Item]:
        self._input.forget()
        self._tell({"type": "input_audio_buffer.cleared"})
        return [ev.Clear()]

    def _create_item(self, event: Event) -> list[Item]:
        given = event.get("item")
        if not isinstance(given, dict) or given.get("type") != "message":
            raise RequestError("Only items of type 'message' are taken.", param="item.type")
        role, content = given.get("role"), given.get("content")
        if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
            raise RequestError("'item.content' must be a list of parts.", param="item.content")
        kind = {"user": "input_text", "system": "input_text", "assistant": "output_text"}.get(str(role))
        if kind is None or any(part.get("type") not in (kind, "text") for part in content):
            raise RequestError(f"A {role} message takes parts of type '{kind}' here.", param="item.content")
        said = " ".join(session_object.text(part.get("text"), "item.content.text", self.limits) for part in content)
        if not said.strip():
            raise RequestError("The message is empty.", param="item.content")
        waiting = len(said) + (sum(len(words(one)) for one in self._pending) if role != "system" else 0)
        if waiting > self.limits.text_chars:
            most = f"at most {self.limits.text_chars} characters may wait for a response: ask for one"
            raise RequestError(f"The message is too long: {most}.", param="item.content")
        item = message(role, kind, text=said)
        self._place(event, item, given.get("id"))
        if role == "system":
            joined = f"{self.session['instructions']}\n{said}".strip()
            instructions = session_object.text(joined, "item.content.text", self.limits)
            self.session = {**self.session, "instructions": instructions}
        self._tell(*item_events(self.items.add(item), item, "added", "done"))
        if role == "user":
            self._pending.append(item)
            return []
        return [ev.Remember(self._typed(), said)] if role == "assistant" else self._configure(self.config)

    def _place(self, event: Event, item: Event, key: Any) -> None:
        """Give an item the id that its client wants. Raises RequestError for one in use, or a place that is not there.

        The LLM reads what is new after what it has read: an item joins the end, and its events say after which one.
        """
        before = event.get("previous_item_id")
        if before not in (None, "root") and self.items.get(before) is None:
            raise RequestError("No item has this id.", "item_not_found", "previous_item_id")
        if key is None:
            return
        if not isinstance(key, str) or not 0 < len(key) <= MOST_ID:
            raise RequestError(f"'item.id' must be a string of up to {MOST_ID} characters.", param="item.id")
        if self.items.get(key) is not None:
            raise RequestError(f"An item with the id '{key}' is there already.", "item_already_exists", "item.id")
        item["id"] = key

    def _configure(self, config: SessionConfig, now: bool = False) -> list[Item]:
        """Another configuration for the session; while an answer is made it waits, unless `now`."""
        if config == self._sent or not now and (self._ask is not None or self._response is not None):
            return []
        self._sent = config
        return [config]

    def _truncate(self, event: Event) -> list[Item]:
        item = self._item(event, "No answer has this id.", lambda item: item["role"] == "assistant")
        end_ms = int(session_object.number(event.get("audio_end_ms"), "audio_end_ms", 0, 10**9, whole=True))
        place = {"item_id": item["id"], "content_index": 0, "audio_end_ms": end_ms}
        self._tell({"type": "conversation.item.truncated", **place})
        return self._cut(item, end_ms * self.rates.output_hz // 1000)

    def _cut(self, item: Event, samples: int) -> list[Item]:
        """Of the last answer, `samples` were heard: the rest is not in the history, and is not made any more."""
        if self._last is None or self._last.item is not item:
            return []
        self._asked_to_stop |= self._response is self._last
        return [ev.Truncate(samples, self._last.number)]

    def _delete(self, event: Event) -> list[Item]:
        item = self._item(event, "No item has this id.")
        if item in self._pending:
            self._pending.remove(item)
        elif self._last is None or self._last.item is not item or words(item):  # LiveKit deletes what nobody heard
            text = "The model has read this item: only a text that was not answered yet can be deleted."
            raise RequestError(text, param="item_id")
        self.items.remove(item["id"])
        self._tell({"type": "conversation.item.deleted", "item_id": item["id"]})
        return self._cut(item, 0)

    def _retrieve(self, event: Event) -> list[Item]:
        self._tell({"type": "conversation.item.retrieved", "item": self._item(event, "No item has this id.")})
        return []

    def _item(self, event: Event, problem: str, fits: Callable[[Event], bool] = lambda item: True) -> Event:
        """The item that an event names. Raises RequestError if there is none that fits."""
        item = self.items.get(event.get("item_id"))
        if item is None or not fits(item):
            raise RequestError(problem, "item_not_found", "item_id")
        return item

    def _create_response(self, event: Event) -> list[Item]:
        active = self._response is not None and not self._response.done and not self._asked_to_stop
        if self._ask is not None or active:
            text = "The conversation already has an active response."
            raise RequestError(text, "conversation_already_has_active_response")
        wanted = event.get("response")
        wanted = {} if wanted is None else wanted
        if not isinstance(wanted, dict):
            raise RequestError("'response' must be an object.", param="response")
        if wanted.get("input") or wanted.get("conversation") not in (None, "auto"):
            raise RequestError("Responses outside the conversation are not made here.", param="response.conversation")
        session = session_object.for_response(self.session, wanted, self.limits)
        self._wanted = {
            "session": session,
            "metadata": session_object.metadata(wanted.get("metadata"), "response.metadata"),
        }
        self._asking, self._asked_to_stop = list(self._pending), False
        # without a text it answers what is said in the open turn; with nothing said, the model speaks first
        ask: ev.Event = ev.TextInput(self._typed()) if self._pending else ev.Respond()
        # the new answer stops what is still played of the last one
        changes = self._configure(session_config(session, self._own_prompt, self._longest), now=True)
        self._ask = Reply(changes[0], ask) if changes else ask
        return [self._ask]

    def _typed(self) -> str:
        """What the client has typed since the last response; it counts as answered from now on."""
        said, self._pending = " ".join(map(words, self._pending)), []
        return said

    def _cancel(self, event: Event) -> list[Item]:
        named = event.get("response_id")
        wrong = named is not None and (self._response is None or named != self._response.id)
        if wrong or self._response is None and self._ask is None:
            raise RequestError("There is no active response.", "response_cancel_not_active")
        self._asked_to_stop = True
        return [ev.Interrupt(self._response.number if self._response else 0)]

    # from the worker

    def _told(self, output: Output, answered: bool) -> None:
        response = self._response
        match output:
            case Gated(is_open, time_s):
                # the client may want turns to be detected and ask for the responses itself
                by, by_gate = self.config.turn_detection, self.session["audio"]["input"]["turn_detection"] is not None
                if by is not TurnDetection.MANUAL or by_gate:
                    held = by is TurnDetection.STATE_HEAD and response is not None
                    self._tell(*self._input.gate(is_open, round(1000 * time_s), held))
                if by is TurnDetection.MANUAL and by_gate and not is_open:
                    self._tell(*self._input.commit())
            case ev.StateDecision(state, probabilities, time_s) if self.session["freeze_omni"]["states"]:
                shown, end_ms = [round(one, 4) for one in probabilities], round(1000 * time_s)
                self._tell(
                    {"type": "freeze_omni.state", "state": state, "probabilities": shown, "audio_end_ms": end_ms}
                )
            case ev.TranscriptDelta(text, final):
                shown = self.session["audio"]["input"]["transcription"] is not None
                self._tell(*self._input.transcript(text, final, answered, shown))
            case ev.AnswerBegun(number):
                self._begin_response(number)
            case ev.TextDelta(text) if response and not response.done:
                self._tell(*response.write(text))
            case ev.PlayAudio(samples) if response and not response.done:
                self._tell(*response.speak(samples))
            case ev.StopAudio() if response:
                self._tell(*self._input.release())
                if self.session["freeze_omni"]["cleared"]:
                    self._tell({"type": "output_audio_buffer.cleared", "response_id": response.id})
            case ev.PauseAudio() | ev.ResumeAudio() if response:
                kind = "paused" if isinstance(output, ev.PauseAudio) else "resumed"
                self._tell({"type": f"freeze_omni.{kind}", "response_id": response.id})
            case Counted() if response and not response.done:
                response.usage = usage(**vars(output), by_voice=response.by_voice)
            case ev.AnswerKept(text, reason) if self._last:
                self._end_response(self._last, text, reason)
            case ev.AnswerEnded() if response and response.done:
                self._response = None
                self._tell(*self._input.release())
            case Configured(config):
                self._agreed = config
                if config == self.config:
                    self._agreed_session = self.session
            case Refused(reason, refused):
                self._refuse(reason, refused)

    def _refuse(self, reason: str, refused: Input) -> None:
        """The model cannot follow what was put into the session, which is as it was before."""
        self.error(reason, "invalid_value")
        if isinstance(refused, SessionConfig):
            self._sent = self._agreed
            if isinstance(self._ask, Reply) and self._ask.config == refused:  # its texts may be asked for again
                self._pending, self._ask = self._asking + self._pending, None
                return
            self.session = self._agreed_session
            self._tell({"type": "session.updated", "session": self.session})
        elif isinstance(refused, ev.TextInput):
            self._ask = None
            for item in self._asking:
                self.items.remove(item["id"])
                self._tell({"type": "conversation.item.deleted", "item_id": item["id"]})

    def _begin_response(self, number: int) -> None:
        chosen = self._wanted.get("session", self.session)
        encoder = Encoder(chosen["audio"]["output"]["format"]["type"], self.rates.output_hz)
        spoken = chosen["output_modalities"] == ["audio"]
        limit, metadata = chosen["max_output_tokens"], self._wanted.get("metadata")
        by_voice = not self._asking
        self._response = self._last = Response(number, self.id, encoder, spoken, limit, metadata, by_voice)
        self._asked_to_stop = self._asked_to_stop and self._ask is not None
        self._wanted, self._ask, self._asking = {}, None, []
        self._tell(*self._response.begin(self.items.add(self._response.item)))

    def _end_response(self, response: Response, kept: str, reason: str) -> None:
        if response.done:  # all of it was sent before; only less of it was heard
            response.end(kept, reason)
            return
        by = "client_cancelled" if self._asked_to_stop else "turn_detected"
        self._tell(*response.end(kept, reason, by))
        self._tell(*item_events(self.items.before(response.item["id"]), response.item, "done"))

    def _tell(self, *events: Event) -> None:
        self.events += [{"event_id": new_id("event"), **event} for event in events]


_CLIENT = {
    "session.update": RealtimeProtocol._session_update,
    "input_audio_buffer.append": RealtimeProtocol._append,
    "input_audio_buffer.commit": RealtimeProtocol._commit,
    "input_audio_buffer.clear": RealtimeProtocol._clear,
    "conversation.item.create": RealtimeProtocol._create_item,
    "conversation.item.truncate": RealtimeProtocol._truncate,
    "conversation.item.delete": RealtimeProtocol._delete,
    "conversation.item.retrieve": RealtimeProtocol._retrieve,
    "response.create": RealtimeProtocol._create_response,
    "response.cancel": RealtimeProtocol._cancel,
}
