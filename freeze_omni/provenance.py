"""How a number was made: command, commit, seed, machine, versions, time. Without these it is no result."""

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "transformers", "numpy", "espnet", "faster-whisper", "jiwer", "onnxruntime")


def provenance(seed: int | None = None, started_s: float | None = None) -> dict[str, Any]:
    """The record stored with every result of this process."""
    now = time.time()
    return {
        "command": without_home(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]])),
        "commit": commit(Path(__file__).resolve().parent),
        "seed": seed,
        "machine": machine(),
        "versions": versions(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "seconds": None if started_s is None else round(now - started_s, 1),
    }


def processor(facts: Mapping[str, Any] | None = None) -> str:
    """`<processor>, <n> cores` of a `machine()` record; default: of this machine."""
    facts = facts or machine()
    return f"{facts['processor']}, {facts['cores']} cores"


def without_home(text: str) -> str:
    """`text` with ~ for the user's home folder: results are published, a machine's paths are not."""
    return text.replace(str(Path.home()) + "/", "~/")


def commit(folder: Path) -> str:
    """The commit of the source, with `+changes` if tracked files differ from it; `unknown` outside git."""
    describe = ["git", "describe", "--always", "--exclude=*", "--abbrev=12", "--dirty=+changes"]
    try:
        run = subprocess.run(describe, cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return run.stdout.strip()


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, memory in GB, system, and the GPU, if any."""
    facts: dict[str, Any] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }
    torch = sys.modules.get("torch")  # not imported for this alone
    if torch is not None:
        facts["threads"] = torch.get_num_threads()
        facts["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return facts


def versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: *(.*)$", info.read_text() if info.exists() else "", re.MULTILINE)
    return (names or [platform.processor() or platform.machine()])[0]


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, OSError, ValueError):
        return None
