"""The OpenAI Realtime protocol (GA) for one client, as a state machine without a socket.

`from_client` takes an event of the client, `from_worker` what the session did. Both return what to put into the session
and collect the events for the client, which `take` hands out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from freeze_omni.engine.slot import Gated, Input, Output, Refused
from freeze_omni.rates import Rates
from freeze_omni.server import session_object
from freeze_omni.server.config import Limits
from freeze_omni.server.items import Event, InputBuffer, Items, item_events, message, new_id, words
from freeze_omni.server.response import Response
from freeze_omni.server.session_object import session_config
from freeze_omni.server.wire import Decoder, Encoder, RequestError
from freeze_omni.session import events as ev
from freeze_omni.session.reducer import TurnDetection
from freeze_omni.session.session import SessionConfig

Item = np.ndarray | Input


class AudioSpent(RuntimeError):
    """A session has had all the audio that it may have."""


class RealtimeProtocol:
    """own_prompt: the model's system prompt. longest_answer: the most tokens of an answer."""

    def __init__(self, model: str, own_prompt: str, longest_answer: int, rates: Rates, limits: Limits) -> None:
        self.id, self.key = new_id("conv"), new_id("sess")
        self.limits, self.rates = limits, rates
        self.session = session_object.new_session(self.key, model, own_prompt)
        self.items = Items(limits.items)
        self.events: list[Event] = []
        self._own_prompt, self._longest = own_prompt, longest_answer
        self._input = InputBuffer(self.items)
        self._decoder = Decoder(self.session["audio"]["input"]["format"]["type"], rates.input_hz)
        self._pending: list[dict[str, Any]] = []
        self._wanted: dict[str, Any] = {}
        self._response: Response | None = None
        self._asked = self._asked_to_stop = False
        self._heard_s = 0.0
        self._sent = self.config
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
        try:
            if not isinstance(event, dict) or not isinstance(event.get("type"), str):
                raise RequestError("An event is a JSON object with a 'type'.", "invalid_event")
            rule = _CLIENT.get(event["type"])
            if rule is None:
                raise RequestError(f"Unknown event type '{event['type']}'.", "unknown_event", "type")
            return rule(self, event)
        except RequestError as error:
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
        detail = {"type": kind, "code": code, "message": text, "param": None, "event_id": None, **at}
        self._tell({"type": "error", "error": detail})

    def rebuilt(self) -> list[Item]:
        """The session's worker is lost: what to put into a new session, so that the dialogue goes on."""
        if self._response is not None and not self._response.done:
            self._end_response(self._response.text, "failed")
        self._response = None
        self._input.forget()
        self._asked = False
        text = "The worker of this session was lost; the dialogue goes on from its text."
        self.error(text, "worker_lost", "server_error")
        return [ev.Remember(user, answer) for user, answer in self.items.exchanges()]

    # from the client

    def _session_update(self, event: Event) -> list[Item]:
        self.session = session_object.update(self.session, event.get("session"), self.limits)
        kind = self.session["audio"]["input"]["format"]["type"]
        if kind != self._decoder.kind:
            self._decoder = Decoder(kind, self.rates.input_hz)
        self._tell({"type": "session.updated", "session": self.session})
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
        item = message(role, kind, text=said)
        if isinstance(given.get("id"), str) and self.items.get(given["id"]) is None and len(given["id"]) <= 64:
            item["id"] = given["id"]
        self._tell(*item_events(self.items.add(item), item, "added", "done"))
        if role == "user":
            self._pending.append(item)
            return []
        if role == "assistant":
            return [ev.Remember(self._typed(), said)]
        joined = f"{self.session['instructions']}\n{said}".strip()
        self.session["instructions"] = session_object.text(joined, "item.content.text", self.limits)
        return self._configure(self.config)

    def _configure(self, config: SessionConfig, now: bool = False) -> list[Item]:
        """Another configuration for the session; while an answer is made it waits, unless `now`."""
        if config == self._sent or not now and (self._asked or self._response is not None):
            return []
        self._sent = config
        return [config]

    def _truncate(self, event: Event) -> list[Item]:
        item = self._item(event, "No answer has this id.", lambda item: item["role"] == "assistant")
        end_ms = int(session_object.number(event.get("audio_end_ms"), "audio_end_ms", 0, 10**9, whole=True))
        place = {"item_id": item["id"], "content_index": 0, "audio_end_ms": end_ms}
        self._tell({"type": "conversation.item.truncated", **place})
        if self._response is None or self._response.item is not item:
            return []
        self._asked_to_stop = True
        return [ev.Truncate(end_ms * self.rates.output_hz // 1000, self._response.number)]

    def _delete(self, event: Event) -> list[Item]:
        item = self._item(event, "Only a text that was not answered yet can be deleted.", self._pending.__contains__)
        self._pending.remove(item)
        self._tell({"type": "conversation.item.deleted", "item_id": item["id"]})
        return []

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
        if self._asked or active:
            text = "The conversation already has an active response."
            raise RequestError(text, "conversation_already_has_active_response")
        wanted = event.get("response") or {}
        if not isinstance(wanted, dict):
            raise RequestError("'response' must be an object.", param="response")
        if wanted.get("input") or wanted.get("conversation") == "none":
            raise RequestError("Responses outside the conversation are not made here.", param="response.conversation")
        session = dict(self.session)
        for name, checked in session_object.FIELDS.items():
            if wanted.get(name):
                session[name] = checked(wanted[name], f"response.{name}", self.limits)
        self._wanted = {"session": session, "metadata": wanted.get("metadata")}
        # the new answer stops what is still played of the last one
        items = self._configure(session_config(session, self._own_prompt, self._longest), now=True)
        self._asked = True
        return [*items, ev.TextInput(self._typed()) if self._pending else ev.Respond()]

    def _typed(self) -> str:
        """What the client has typed since the last response; it counts as answered from now on."""
        said, self._pending = " ".join(map(words, self._pending)), []
        return said

    def _cancel(self, event: Event) -> list[Item]:
        if self._response is None:
            raise RequestError("There is no active response.", "response_cancel_not_active")
        self._asked_to_stop = True
        return [ev.Interrupt()]

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
                self._tell({"type": "output_audio_buffer.cleared", "response_id": response.id})
            case ev.AnswerKept(text, reason) if response:
                self._end_response(text, reason)
            case ev.AnswerEnded("nothing"):
                self._asked = False
                self.error("There is nothing to answer: say or send something first.", "nothing_to_answer")
            case ev.AnswerEnded() if response and response.done:
                self._response = None
                self._tell(*self._input.release())
            case Refused(reason):
                self._asked = False
                self.error(reason, "invalid_value")

    def _begin_response(self, number: int) -> None:
        chosen = self._wanted.get("session", self.session)
        encoder = Encoder(chosen["audio"]["output"]["format"]["type"], self.rates.output_hz)
        spoken = chosen["output_modalities"] == ["audio"]
        limit, metadata = chosen["max_output_tokens"], self._wanted.get("metadata")
        self._response = Response(number, self.id, encoder, spoken, limit, metadata)
        self._wanted, self._asked, self._asked_to_stop = {}, False, False
        self._tell(*self._response.begin(self.items.add(self._response.item)))

    def _end_response(self, kept: str, reason: str) -> None:
        response = self._response
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
