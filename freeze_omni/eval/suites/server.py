"""Answers to a suite by a running Realtime server, ours or another."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from freeze_omni.client.realtime import HZ, Realtime, ServerError, decode
from freeze_omni.config import ConfigError
from freeze_omni.data.audio import read_audio
from freeze_omni.data.fingerprint import fingerprint
from freeze_omni.eval.duplex.play import Hearing
from freeze_omni.eval.duplex.realtime import OWN, play_realtime
from freeze_omni.eval.duplex.scene import Said, ScriptedScene
from freeze_omni.eval.runner import Records, progress
from freeze_omni.eval.suites.base import Answer, Item, Suite
from freeze_omni.eval.suites.sessions import answered

Heard = tuple[str, np.ndarray]  # an answer: its text, its sound (S,) at 24 kHz


def by_server(args: argparse.Namespace, suite: Suite, items: Sequence[Item], folder: Path) -> dict[str, Answer]:
    """Answers of args.server, each question or dialogue in its own session; a killed run is resumed.

    Raises ConfigError: there is no server, or it ends a session.
    """

    def answer(sounds: Sequence[np.ndarray]) -> list[Heard]:
        try:
            return asyncio.run(_in_time(args, sounds[0], folder) if suite.IN_TIME else _asked(args, sounds))
        except ServerError as error:
            raise ConfigError(f"--server: {error}") from None

    sounds = {item.id: fingerprint(item.sound) for item in items}
    records, started_s = Records(folder, {"server": args.server, "sounds": sounds}), time.time()
    for done in answered(items, set(records.missing(sounds)), folder, HZ, HZ, answer):
        records.add(done)
        progress(args.suite, len(records.found), len(items), started_s)
    found = (records.found[item.id] for item in items)
    return {record["id"]: Answer(record["text"], record["sound"]) for record in found}


def _session(args: argparse.Namespace) -> Realtime:
    return Realtime(args.server, args.api_key, args.ca)


async def _asked(args: argparse.Namespace, sounds: Sequence[np.ndarray]) -> list[Heard]:
    async with _session(args) as talk:
        return await ask_server(talk, sounds)


async def ask_server(talk: Realtime, sounds: Sequence[np.ndarray]) -> list[Heard]:
    """Each sound (S,) at 24 kHz is a whole turn; each answer is taken, and of all but the last the playback awaited.

    Raises ServerError for an error that the server reports.
    """
    await talk.configure(audio={"input": {"turn_detection": None}})
    await talk.until("session.updated")
    said: list[Heard] = []
    for number, sound in enumerate(sounds, start=1):
        await talk.speak(sound)
        await talk.send("input_audio_buffer.commit")
        await talk.send("response.create")
        begin_s = time.monotonic()
        said.append(_heard(await talk.until("response.done")))
        if number < len(sounds):
            await asyncio.sleep(max(begin_s + len(said[-1][1]) / HZ - time.monotonic(), 0))
    return said


def _heard(events: Sequence[dict[str, Any]]) -> Heard:
    kinds = ("response.output_audio_transcript.delta", "response.output_text.delta")
    text = "".join(event["delta"] for event in events if event["type"] in kinds)
    sound = [decode(event["delta"]) for event in events if event["type"] == "response.output_audio.delta"]
    return text, np.concatenate([np.zeros(0, np.float32), *sound])


async def _in_time(args: argparse.Namespace, sound: np.ndarray, folder: Path) -> list[Heard]:
    """The sound is played once, in real time; what the server said on the same time line."""
    seconds = len(sound) / HZ
    scene = ScriptedScene("played", "turn", seconds, (Said("turn", 0.0, seconds, "respond"),))
    async with _session(args) as talk:
        if OWN in talk.session:
            await talk.configure(**{OWN: {"cleared": True}})
        await play_realtime(talk, Hearing(scene, sound, None, HZ), folder / "played")
    return [("", read_audio(str(folder / "played/output.wav"), HZ)[0])]
