"""Tables of any size: their lines stay in the file, and memory holds eight bytes for each."""

import os
import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from freeze_omni.data.tables import TableError, parse_line, twice

USUAL = re.compile(rb"([!-~]+) ([!-~](?:[ -~]*[!-~])?)\n")  # id and value of a line that needs no closer look
_USUAL_LINES = re.compile("^([!-~]+) ([!-~](?:[ -~]*[!-~])?)$", re.MULTILINE)
_ID = re.compile(rb"([!-~]+) ")
_ID_BYTES = 256  # of a line, in which its id mostly ends
_AT_ONCE = 256  # lines of one read


def _usual_items(lines: bytes, count: int) -> list[tuple[str, str]]:
    """Id and value of `count` lines, if none needs a closer look; else nothing."""
    if not lines.isascii() or lines.count(b"\n") != count:
        return []
    found = _USUAL_LINES.findall(lines.decode())
    return found if len(found) == count else []


class FileLines:
    """Lines `id value` of a file by number and by id. Memory holds where each begins, and their order if it is another
    than C order of the ids (eight bytes a line, and four). Lines are read where they are, so that none stays in memory,
    and from the file as it was when it was opened."""

    path: Path

    def __init__(self) -> None:
        self._starts = array("Q")
        self._order: Sequence[int] | None = None  # lines by id, if that is not their order
        self._file: Any = None

    def __len__(self) -> int:
        return len(self._starts)

    def item(self, line: int) -> tuple[str, str]:
        """Id and value of a line, counted from 0."""
        return self._split(self._raw(line), line)

    def by_id(self) -> Sequence[int]:
        """The lines in C order of their ids."""
        return range(len(self)) if self._order is None else self._order

    def pieces(self, size: int) -> list[range]:
        """The lines in pieces of `size`, as a map over them makes its work of."""
        return [range(start, min(start + size, len(self))) for start in range(0, len(self), size)]

    def sorted_items(self) -> Iterator[tuple[str, str]]:
        """All, in C order of the ids."""
        return self._items() if self._order is None else map(self.item, self._order)

    def finder(self) -> Callable[[str], int | None]:
        """A function that finds the line of an id; an id that comes right after the last one found costs no search."""
        lines, last = self.by_id(), -1

        def find(key: str) -> int | None:
            nonlocal last
            wanted = key.encode(errors="surrogatepass")
            for place in (last + 1, max(last, 0)):
                if place < len(lines) and self._key(lines[place]) == wanted:
                    last = place
                    return lines[place]
            found = self._place(wanted)
            if found is None:
                return None
            last = found
            return lines[found]

        return find

    def _place(self, wanted: bytes) -> int | None:
        """Where in C order an id is."""
        lines = self.by_id()
        place = bisect_left(lines, wanted, key=self._key)
        return place if place < len(lines) and self._key(lines[place]) == wanted else None

    def _items(self) -> Iterator[tuple[str, str]]:
        """All, in the order of the file: some hundred lines are read at once."""
        for first in range(0, len(self), _AT_ONCE):
            last = min(first + _AT_ONCE, len(self))
            begin = self._starts[first]
            some = self._read(begin, self._end(last - 1))
            if usual := _usual_items(some, last - first):
                yield from usual
                continue
            for line in range(first, last):
                start = self._starts[line] - begin
                yield self._split(some[start : some.find(b"\n", start) + 1 or None], line)

    def _split(self, raw: bytes, line: int) -> tuple[str, str]:
        if usual := USUAL.fullmatch(raw):
            return usual[1].decode(), usual[2].decode()
        return self._parsed(raw, line)

    def _parsed(self, raw: bytes, line: int) -> tuple[str, str]:
        """Id and value of a line that needs a closer look."""
        raise NotImplementedError

    def _raw(self, line: int) -> bytes:
        some = self._read(self._starts[line], self._end(line))
        return some[: some.find(b"\n") + 1 or None]

    def _end(self, line: int) -> int:
        """Where the next line begins, or the file ends."""
        return self._starts[line + 1] if line + 1 < len(self) else os.fstat(self._file.fileno()).st_size

    def _read(self, start: int, end: int) -> bytes:
        return os.pread(self._file.fileno(), end - start, start)

    def _key(self, line: int) -> bytes:
        start = self._starts[line]
        found = _ID.match(self._read(start, start + _ID_BYTES))
        return found[1] if found else self.item(line)[0].encode()

    def _sort(self) -> list[tuple[int, int]]:
        """Find the order by id; returns the lines that have the id of an earlier one, each after that one."""
        order = sorted(range(len(self)), key=self._key)
        self._order, doubled = array("I", order), []
        for before, line in pairwise(order):
            if self._key(before) == self._key(line):
                doubled.append((doubled[-1][0] if doubled and doubled[-1][1] == before else before, line))
        return doubled


class TableFile(FileLines, Mapping[str, str]):
    """Value by id of an `id value` file; a drop-in for `read_table` that does not grow with the values.

    Iterates in the order of the file. Raises TableError as `read_table` does.
    """

    def __init__(self, path: str | Path, need_value: bool = True):
        super().__init__()
        self.path, self.need_value = Path(path), need_value
        self._open()

    def __getstate__(self) -> tuple[Path, bool]:
        return self.path, self.need_value

    def __setstate__(self, state: tuple[Path, bool]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self._items())

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._place(key.encode(errors="surrogatepass")) is not None

    def __getitem__(self, key: str) -> str:
        place = self._place(key.encode(errors="surrogatepass"))
        if place is None:
            raise KeyError(key)
        return self.item(self.by_id()[place])[1]

    def _parsed(self, raw: bytes, line: int) -> tuple[str, str]:
        return parse_line(raw, self.path, line + 1, False)

    def _open(self) -> None:
        try:
            self._file = open(self.path, "rb")  # it closes with the table
            self._index(self._file)
        except FileNotFoundError:
            raise TableError(f"{self.path}: no such file; run the stage that makes it") from None
        except OSError as error:
            raise TableError(f"{self.path}: {error.strerror}; give a file that can be read") from None
        if not len(self):
            raise TableError(f"{self.path}: empty; run the stage that makes it again")
        if self._order is not None and (doubled := self._sort()):
            raise twice(self.path, doubled[0][1] + 1, self.item(doubled[0][1])[0])

    def _index(self, lines: Iterator[bytes]) -> None:
        """Where each line begins. Ids that come in order are no double ones."""
        start, last = 0, b""
        for number, raw in enumerate(lines, start=1):
            if usual := USUAL.fullmatch(raw):
                key = usual[1]
            else:
                key = parse_line(raw, self.path, number, self.need_value)[0].encode()
            if key <= last:
                if key == last:
                    raise twice(self.path, number, key.decode())
                self._order = ()
            self._starts.append(start)
            start, last = start + len(raw), key


def joined(tables: Sequence[FileLines], also: FileLines | None = None) -> Iterator[tuple[str, list[str], str | None]]:
    """Ids that all tables have, in C order, with their values, and that of a further table, None where it has none.

    Reads each table once from its beginning to its end.
    """
    streams = [table.sorted_items() for table in (*tables, *([also] if also is not None else []))]
    heads: list[_Item | None] = []
    for items in zip(*streams, strict=False) if also is None else ():  # quick, as long as all have the same ids
        key = items[0][0]
        if any(item[0] != key for item in items):
            heads = list(items)
            break
        yield key, [item[1] for item in items], None
    if not heads:
        if also is None:
            return
        heads = [next(stream, None) for stream in streams]
    count = len(tables)
    while all(head is not None for head in heads[:count]):
        keys = [head[0] for head in heads[:count] if head is not None]
        first = max(keys)
        if also is not None:
            heads[count] = _from(first, heads[count], streams[count])
        if min(keys) == first:
            further = heads[count] if also is not None else None
            found = further[1] if further is not None and further[0] == first else None
            yield first, [head[1] for head in heads[:count] if head is not None], found
            heads[:count] = [next(stream, None) for stream in streams[:count]]
        else:
            heads[:count] = [_from(first, head, stream) for head, stream in zip(heads, streams, strict=True)][:count]


type _Item = tuple[str, str]


def _from(key: str, head: _Item | None, stream: Iterator[_Item]) -> _Item | None:
    """The first item at `key` or after it."""
    while head is not None and head[0] < key:
        head = next(stream, None)
    return head
