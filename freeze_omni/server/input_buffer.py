"""The user's turn as the protocol reports it: speech starts and stops, words come, the turn is committed.

Speech during playback is reported only once the state head classifies it as a turn: clients stop the playback at
`speech_started`, and a backchannel must not.
"""

from __future__ import annotations

from freeze_omni.server.items import Items, item_events, message
from freeze_omni.server.response import Event


class InputBuffer:
    """One per conversation; its turns follow one another. uncommitted_s: audio that has come for the open turn."""

    def __init__(self, items: Items) -> None:
        self._items = items
        self.forget()

    def gate(self, is_open: bool, time_ms: int, held: bool) -> list[Event]:
        """The gate has opened or closed; held: report it only after `release`."""
        kind, at = ("started", "audio_start_ms") if is_open else ("stopped", "audio_end_ms")
        event = {"type": f"input_audio_buffer.speech_{kind}", at: time_ms, "item_id": self._turn["id"]}
        if held or self._held:
            self._held.append(event)
            return []
        return [event]

    def release(self) -> list[Event]:
        held, self._held = self._held, []
        return held

    def transcript(self, text: str, final: bool, answered: bool, shown: bool) -> list[Event]:
        """New words; final: the turn is over. shown: the client wants transcripts."""
        part = self._turn["content"][0]
        part["transcript"] += text
        place = {"item_id": self._turn["id"], "content_index": 0}
        kind = "conversation.item.input_audio_transcription"
        events = [{"type": f"{kind}.delta", **place, "delta": text}] if text and shown else []
        if not final:
            return events
        if answered:
            events += self.release() + (self.commit() if not self._committed else [])
        if shown and (answered or part["transcript"]):
            usage = {"type": "duration", "seconds": round(self.uncommitted_s, 3)}
            transcript = part["transcript"].strip()
            events.append({"type": f"{kind}.completed", **place, "transcript": transcript, "usage": usage})
        self.forget()
        return events

    def commit(self) -> list[Event]:
        """The turn becomes an item of the conversation."""
        previous = self._items.add(self._turn)
        self._committed, self.uncommitted_s = True, 0.0
        committed = {"previous_item_id": previous, "item_id": self._turn["id"]}
        return [
            {"type": "input_audio_buffer.committed", **committed},
            *item_events(previous, self._turn, "added", "done"),
        ]

    def forget(self) -> None:
        self._turn = message("user", "input_audio", transcript="")
        self._held: list[Event] = []
        self._committed, self.uncommitted_s = False, 0.0
