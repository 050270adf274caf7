"""Runs a command; prints the KB of the largest of its processes, with and without the files that are mapped in it.

    python -S benchmarks/meter.py COMMAND [ARGUMENT ...]

A separate small process: what the system says of a child begins with the size of its parent. Mapped files are mostly
libraries (those of CUDA come with torch, also where there is no GPU): all processes of a machine share their pages,
and the system drops them when it needs the place. The rest is a process's own, and is looked at every 20 ms.
"""

import re
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

EVERY_S = 0.02
OWN = re.compile(r"^Rss(?:Anon|Shmem):\s+(\d+) kB$", re.MULTILINE)


def processes(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from processes(int(child))


def own_kb(pid: int) -> int:
    """0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return sum(map(int, OWN.findall(status)))


def most_own_kb(pid: int) -> int:
    """Of the process and its descendants, the largest now."""
    try:
        return max(map(own_kb, processes(pid)))
    except OSError:
        return 0  # one ended while it was looked at


def main() -> int:
    run = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
    most, ended = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(EVERY_S):
            most = max(most, most_own_kb(run.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = run.wait()
    ended.set()
    watcher.join()
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, most)
    return code


if __name__ == "__main__":
    sys.exit(main())
