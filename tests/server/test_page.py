"""The page in headless Chromium, with a microphone fed by a wav; screenshots go where PAGE_SHOTS says."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.server.browser import CHROMIUM, chromium, visit
from tests.server.rig import loud, quiet, serving
from tests.toy import toy_system

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]
WAIT = """
const until = async (what, test) => {
  for (let tries = 0; tries < 200; tries++) {
    if (test()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`never: ${what}; error: ${document.getElementById("error").textContent}`);
};
const find = (id) => document.getElementById(id);
await until("loaded", () => document.readyState === "complete" && find("start").onclick);
"""


BY_GATE = """
const real = WebSocket.prototype.send;
WebSocket.prototype.send = function (text) {  // turns by the gate
  const event = JSON.parse(text);
  if (event.type === "session.update") {
    event.session.audio = { input: { turn_detection: { type: "server_vad", silence_duration_ms: 300 } } };
  }
  real.call(this, JSON.stringify(event));
};
"""
CHOOSE = """
const choose = (name, text) => {  // as if the user had picked the file
  const chosen = new DataTransfer();
  chosen.items.add(new File([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], name));
  find("file").files = chosen.files;
  find("file").dispatchEvent(new Event("change"));
};
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_system(tmp_path_factory.mktemp("toy") / "llm")


def shown(place, port, name, script, tmp_path):
    """Run a script in the page; what it returns, and what the browser complained of."""
    shots = Path(os.environ.get("PAGE_SHOTS", tmp_path))
    shots.mkdir(parents=True, exist_ok=True)
    found = visit(port, f"http://{place}/", WAIT + script, shots / f"{name}.png")
    assert (shots / f"{name}.png").stat().st_size > 5000
    return found


def test_a_spoken_turn_through_the_microphone_and_a_typed_one(model, tmp_path):
    wav = tmp_path / "question.wav"
    # loud, as the browser's own processing takes some of it; a turn ends by the gate, for a toy's head decides anything
    sound = np.concatenate([quiet(1.5, hz=48000), loud(1.0, hz=48000), quiet(6, hz=48000)])
    soundfile.write(wav, sound, 48000)
    with serving(model) as (place, _), chromium(tmp_path, wav) as port:
        value, said = shown(
            place,
            port,
            "talk",
            BY_GATE
            + """
            find("start").click();
            await until("connected", () => find("status").textContent.startsWith("connected"));
            await until("answered", () => document.querySelector("#dialogue .answer")?.textContent);
            await until("latency", () => document.querySelector("[data-part=audio]").textContent.endsWith("ms"));
            const spoken = document.querySelector("#dialogue .answer").textContent;
            const asked = document.querySelector("#dialogue .user")?.textContent;
            find("text").value = "What is the capital of France?";
            find("send").click();
            await until("second", () => document.querySelectorAll("#dialogue .answer")[1]?.textContent);
            await new Promise((resolve) => setTimeout(resolve, 600));
            const pixels = find("timeline").getContext("2d").getImageData(0, 0, 1200, 220).data;
            const seen = new Set();
            for (let at = 0; at < pixels.length; at += 4) {
              if (pixels[at + 3] === 255) seen.add(pixels.slice(at, at + 3).join());
            }
            const latency = [...document.querySelectorAll("#latency td")].map((cell) => cell.textContent);
            return { spoken, asked, latency, prompt: find("instructions").value, colours: [...seen] };
            """,
            tmp_path,
        )
    assert value["spoken"] and value["prompt"] and not said
    assert value["asked"], "the words that were heard are shown"
    voices, states = {"47,111,219", "23,132,90"}, {"154,163,173", "23,160,95", "224,138,30"}
    assert voices <= set(value["colours"]) and states & set(value["colours"])


def test_what_is_paused_is_heard_after_the_pause(model, tmp_path):
    soundfile.write(tmp_path / "silence.wav", quiet(1.0, hz=48000), 48000)
    with serving(model) as (place, _), chromium(tmp_path, tmp_path / "silence.wav") as port:
        value, said = shown(
            place,
            port,
            "pause",
            """
            const { Player, RATE } = await import("./audio.js");
            const context = new AudioContext({ sampleRate: RATE });
            await context.resume();
            const player = new Player(context, () => {}), sleep = (ms) => new Promise((done) => setTimeout(done, ms));
            const samples = (length_s) => new Int16Array(length_s * RATE).fill(1000);
            player.play(samples(1));
            await until("heard", () => player.heard() > 200);
            player.pause();
            const paused = player.heard(), begin = player.play(samples(0.5));
            await sleep(400);
            const still = player.heard(), busy = player.busy(), pieces = player.resume().length;
            await until("heard on", () => player.heard() > paused);
            await until("over", () => !player.busy());
            return { paused, begin, still, busy, pieces, end: player.heard() };
            """,
            tmp_path,
        )
    assert not said and value["busy"] and value["begin"] is None and value["pieces"] == 2
    assert 200 < value["paused"] < 1000 and value["still"] == value["paused"]
    assert value["end"] == pytest.approx(1500, abs=2)


def test_a_sound_file_is_asked_without_a_microphone(model, tmp_path):
    wav = tmp_path / "question.wav"
    sound = np.concatenate([quiet(0.3, hz=44100), loud(1.0, hz=44100), quiet(0.3, hz=44100)])
    soundfile.write(wav, np.stack([sound, sound], axis=1), 44100)
    text = base64.b64encode(wav.read_bytes()).decode()
    with serving(model) as (place, _), chromium(tmp_path) as port:
        value, said = shown(
            place,
            port,
            "file",
            BY_GATE
            + CHOOSE
            + f"""
            let asked = 0;
            navigator.mediaDevices.getUserMedia = () => {{ asked += 1; return new Promise(() => {{}}); }};
            choose("question.wav", "{text}");
            await until("connected", () => find("status").textContent.startsWith("connected"));
            await until("answered", () => document.querySelector("#dialogue .answer")?.textContent);
            const answer = document.querySelector("#dialogue .answer").textContent;
            find("text").value = "What is the capital of France?";
            choose("letter.wav", btoa("this is no sound"));
            await until("error", () => !find("error").hidden);
            const error = find("error").textContent, status = find("status").textContent;
            find("send").click();
            await until("second", () => document.querySelectorAll("#dialogue .answer")[1]?.textContent);
            return {{ answer, asked, error, status, lines: find("dialogue").textContent }};
            """,
            tmp_path,
        )
    assert value["answer"] and value["asked"] == 0 and not said
    assert "letter.wav is not a sound file" in value["error"]
    assert value["status"].startswith("connected"), "the session goes on"
    assert value["answer"] in value["lines"] and "What is the capital of France?" in value["lines"]


def test_what_goes_wrong_is_said(model, tmp_path):
    with serving(model, max_sessions=1) as (place, router), chromium(tmp_path) as port:
        value, _ = shown(
            place,
            port,
            "no_microphone",
            """
            navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("none", "NotFoundError"));
            find("start").click();
            await until("error", () => !find("error").hidden);
            return find("error").textContent;
            """,
            tmp_path,
        )
        assert "No microphone was found" in value
        value, _ = shown(
            place,
            port,
            "full",
            """
            navigator.mediaDevices.getUserMedia = () => new Promise(() => {});
            const other = new WebSocket(`ws://${location.host}/v1/realtime`);
            await until("other", () => other.readyState === 1);
            await new Promise((resolve) => setTimeout(resolve, 300));
            find("start").click();
            await until("error", () => !find("error").hidden);
            return find("error").textContent;
            """,
            tmp_path,
        )
        assert "full" in value
