"""Work through a list with processes and show the progress; the caller can resume."""

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

from tqdm import tqdm

from freeze_omni.config import ConfigError

EVERY_S = 60.0  # from line to line in a log


def parallel_map[Item, Result](
    work: Callable[[Item], Result], items: Sequence[Item], nj: int, title: str, chunk: int = 1
) -> Iterator[Result]:
    """Yield work(item) of each item in order, from `nj` processes (1: this one); work and items must be picklable.

    Raises ConfigError: a process was killed, as the system does if memory runs out. The processes end with this one.
    """
    if nj <= 1 or len(items) < 2:
        yield from _show((work(item) for item in items), len(items), title)
        return
    threads = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    os.environ.update(dict.fromkeys(threads, "1"))
    context = multiprocessing.get_context("spawn")  # a forked process inherits the locks of libraries that are at work
    pool = ProcessPoolExecutor(min(nj, len(items)), context, initializer=_end_with_parent)
    try:
        yield from _show(pool.map(work, items, chunksize=chunk), len(items), title)
    except BrokenProcessPool:
        raise ConfigError(
            f"{title}: a helper process was killed; if memory ran out (see dmesg), use a smaller --nj than {nj}"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in threads.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _end_with_parent() -> None:
    """For a helper process: ends it when its parent has ended, even if that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _show[Result](results: Iterable[Result], total: int, title: str) -> Iterator[Result]:
    """A bar on a terminal; in a log a line each minute, and at the end."""
    start = said = time.monotonic()
    logged = not sys.stderr.isatty()
    for done, result in enumerate(tqdm(results, desc=title, total=total, disable=None), start=1):
        now = time.monotonic()
        if logged and (done == total or now - said >= EVERY_S):
            said = now
            how_many = f"{total}" if done == total else f"{done} of {total}"
            print(f"{title}: {how_many} in {now - start:.1f} s", file=sys.stderr, flush=True)
        yield result
