"""A table of any size: its lines stay in the file, and memory holds eight bytes for each."""

import mmap
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from freeze_omni.data.tables import TableError, parse_line, twice

_USUAL = re.compile(rb"([!-~]+) ([!-~](?:[ -~]*[!-~])?)\n")  # id and value of a line that needs no closer look
_ID = re.compile(rb"([!-~]+) ")
_ID_BYTES = 256  # of a line, in which its id mostly ends


class TableFile(Mapping[str, str]):
    """Value by id of an `id value` file; a drop-in for `read_table` that does not grow with the values.

    Iterates in the order of the file. A file that is not sorted by id (C order) takes four more bytes a line.
    Raises TableError as `read_table` does.
    """

    def __init__(self, path: str | Path, need_value: bool = True):
        self.path, self.need_value = Path(path), need_value
        self._starts = array("Q", [0])
        self._order: Sequence[int] | None = None  # lines by id, if that is not their order
        self._open()

    def __getstate__(self) -> tuple[Path, bool]:
        return self.path, self.need_value

    def __setstate__(self, state: tuple[Path, bool]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self._in_file_order())

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find(key) is not None

    def __getitem__(self, key: str) -> str:
        line = self._find(key)
        if line is None:
            raise KeyError(key)
        return self.item(line)[1]

    def item(self, line: int) -> tuple[str, str]:
        """Id and value of a line, counted from 0."""
        return self._parsed(self._map[self._starts[line] : self._starts[line + 1]], line)

    def sorted_items(self) -> Iterator[tuple[str, str]]:
        """All, in C order of the ids."""
        if self._order is not None:
            return map(self.item, self._order)
        return self._in_file_order()

    def _in_file_order(self) -> Iterator[tuple[str, str]]:
        position = 0
        for line in range(len(self)):
            self._map.seek(position)
            raw = self._map.readline()
            position += len(raw)
            yield self._parsed(raw, line)

    def _parsed(self, raw: bytes, line: int) -> tuple[str, str]:
        if usual := _USUAL.fullmatch(raw):
            return usual[1].decode(), usual[2].decode()
        return parse_line(raw, self.path, line + 1, False)

    def _open(self) -> None:
        try:
            with open(self.path, "rb") as file:
                self._index(file)
                self._map: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise TableError(f"{self.path}: no such file; run the stage that makes it") from None
        except ValueError as error:  # an empty file cannot be mapped
            if isinstance(error, TableError):
                raise
            raise TableError(f"{self.path}: empty; run the stage that makes it again") from None
        except OSError as error:
            raise TableError(f"{self.path}: {error.strerror}; give a file that can be read") from None
        if self._order is not None:
            self._sort()

    def _index(self, lines: Iterator[bytes]) -> None:
        """Where each line begins. Ids that come in order are no double ones."""
        end, last = 0, b""
        for number, raw in enumerate(lines, start=1):
            if usual := _USUAL.fullmatch(raw):
                key = usual[1]
            else:
                key = parse_line(raw, self.path, number, self.need_value)[0].encode()
            if key <= last:
                if key == last:
                    raise twice(self.path, number, key.decode())
                self._order = ()
            end, last = end + len(raw), key
            self._starts.append(end)

    def _sort(self) -> None:
        order = sorted(range(len(self)), key=self._key)
        for before, line in zip(order, order[1:], strict=False):
            if self._key(before) == self._key(line):
                raise twice(self.path, line + 1, self._key(line).decode())
        self._order = array("I", order)

    def _key(self, line: int) -> bytes:
        start = self._starts[line]
        found = _ID.match(self._map[start : start + _ID_BYTES])
        return found[1] if found else self.item(line)[0].encode()

    def _find(self, key: str) -> int | None:
        wanted, lines = key.encode(errors="surrogatepass"), range(len(self)) if self._order is None else self._order
        place = bisect_left(lines, wanted, key=self._key)
        return lines[place] if place < len(lines) and self._key(lines[place]) == wanted else None


def joined(tables: Sequence[TableFile], also: TableFile | None = None) -> Iterator[tuple[str, list[str], str | None]]:
    """Ids that all tables have, in C order, with their values, and that of a further table, None where it has none.

    Reads each table once from its beginning to its end.
    """
    streams = [table.sorted_items() for table in (*tables, *([also] if also is not None else []))]
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
