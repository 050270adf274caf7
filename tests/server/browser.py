"""Headless Chromium over its DevTools protocol: opens a page, runs a script in it, takes a screenshot."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import websockets

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def chromium(folder: Path, wav: Path | None = None):
    """A browser; its DevTools port. wav: what its microphone hears, once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--remote-debugging-port={port}"]
    command += ["--autoplay-policy=no-user-gesture-required", f"--user-data-dir={folder / 'profile'}"]
    if wav is not None:
        command += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        command.append(f"--use-file-for-fake-audio-capture={wav}%noloop")
    process = subprocess.Popen([*command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(10)


def visit(port: int, url: str, script: str, shot: Path) -> tuple[Any, list[str]]:
    """What the script (the body of an async function) returns, and what the browser complained of."""
    return asyncio.run(_visit(port, url, script, shot))


async def _visit(port: int, url: str, script: str, shot: Path) -> tuple[Any, list[str]]:
    async with websockets.connect(await _target(port, url), max_size=None) as socket:
        complaints: list[str] = []
        number = 0

        async def call(method: str, **parameters: Any) -> dict[str, Any]:
            nonlocal number
            number += 1
            await socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
            while True:
                found = json.loads(await asyncio.wait_for(socket.recv(), 60))
                if found.get("id") == number:
                    return found["result"]
                if found.get("method") == "Runtime.exceptionThrown":
                    complaints.append(found["params"]["exceptionDetails"]["text"])
                elif found.get("method") == "Log.entryAdded" and found["params"]["entry"]["level"] == "error":
                    complaints.append(found["params"]["entry"]["text"])

        for domain in ("Runtime", "Log", "Page"):
            await call(f"{domain}.enable")
        size = {"width": 1200, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        await call("Emulation.setDeviceMetricsOverride", **size)
        for _ in range(100):
            where = await call("Runtime.evaluate", expression="location.href + document.readyState")
            if where["result"].get("value") == url + "complete":
                break
            await asyncio.sleep(0.05)
        options = {"awaitPromise": True, "returnByValue": True, "userGesture": True}
        ran = await call("Runtime.evaluate", expression=f"(async () => {{ {script} }})()", **options)
        picture = await call("Page.captureScreenshot", format="png")
        shot.write_bytes(base64.b64decode(picture["data"]))
        assert "exceptionDetails" not in ran, ran["exceptionDetails"]["exception"].get("description")
        return ran["result"].get("value"), complaints


async def _target(port: int, url: str) -> str:
    """Open a tab; the address of its DevTools."""
    async with httpx.AsyncClient() as web:
        for _ in range(100):
            try:
                return (await web.put(f"http://127.0.0.1:{port}/json/new?{url}")).json()["webSocketDebuggerUrl"]
            except httpx.TransportError:
                await asyncio.sleep(0.1)
    raise AssertionError("the browser does not come up")
