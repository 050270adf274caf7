"""Many sounds in one file: tar shards as WebDataset names them, and Kaldi's archives as ESPnet writes flac.ark.

An entry of wav.scp is `FILE:OFFSET`, where the sound begins: any sound can be read alone, and all in a row.
"""

import contextlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from freeze_omni.data.tables import whole_file

BLOCK = 512  # bytes of a tar header, right before its member
_IN_ARCHIVE = re.compile(r"(.+\.(?:ark|tar)):([0-9]+)")
_SIZE = slice(124, 136)  # of a member, in the header
_TAR_MARK = slice(257, 262)
_AUDIO = b"AUDIO"  # ESPnet's extended Kaldi archive: this, the width of a length, the length, an audio file
_RIFF_HEAD = 8
_AHEAD = 1 << 20  # bytes
_MOST_RIFF = 0x7FFF0000  # a larger length stands for "unknown", from a program that wrote into a pipe


def file_of(entry: str) -> tuple[str, int] | None:
    """The file of a wav.scp entry, and where in an archive it begins (0: the whole); None for a command."""
    if entry.endswith("|"):
        return None
    archive = _IN_ARCHIVE.fullmatch(entry)
    return (archive[1], int(archive[2])) if archive else (entry, 0)


class Archive(Protocol):
    """Sounds that are written one after the other."""

    def add(self, key: str, sound: bytes, suffix: str, text: str) -> int:
        """Append an audio file with its text; returns the offset for wav.scp."""


class TarShard:
    """A WebDataset shard: `<id>.<suffix>` with the sound, then `<id>.txt` with its text."""

    def __init__(self, stream: BinaryIO):
        self.stream, self.tar = stream, tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT)

    def add(self, key: str, sound: bytes, suffix: str, text: str) -> int:
        # What stands after the first dot of a name is its kind, for the readers of such shards.
        name = key.replace(".", "_")
        self._add(f"{name}.{suffix}", sound)
        offset = self.stream.tell() - -(-len(sound) // BLOCK) * BLOCK
        self._add(f"{name}.txt", text.encode())
        return offset

    def close(self) -> None:
        self.tar.close()

    def _add(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)  # no time, no owner: the same sounds give the same file
        member.size = len(content)
        self.tar.addfile(member, io.BytesIO(content))


class AudioArk:
    """ESPnet's extended Kaldi archive (flac.ark): an id, a blank, AUDIO, its length, the audio file. Has no texts."""

    def __init__(self, stream: BinaryIO):
        self.stream = stream

    def add(self, key: str, sound: bytes, suffix: str, text: str) -> int:
        self.stream.write(f"{key} ".encode())
        offset, width = self.stream.tell(), max(1, -(-len(sound).bit_length() // 8))
        self.stream.write(_AUDIO + bytes([width]) + len(sound).to_bytes(width, "little") + sound)
        return offset

    def close(self) -> None:
        """Nothing follows the last sound."""


@contextlib.contextmanager
def new_archive(path: Path) -> Iterator[Archive]:
    """A .tar or .ark, whole or not at all."""
    with whole_file(path) as partial, open(partial, "wb") as stream:
        archive = TarShard(stream) if path.suffix == ".tar" else AudioArk(stream)
        yield archive
        archive.close()


def read_member(path: str | Path, offset: int) -> bytes:
    """The audio file at `offset` of a .tar or .ark. Raises OSError, and ValueError: nothing of the kind is there."""
    with open(path, "rb") as stream:
        if str(path).endswith(".tar"):
            stream.seek(max(offset - BLOCK, 0))
            return _exactly(stream, _tar_size(stream.read(BLOCK), f"{path}:{offset}"), path)
        stream.seek(offset)
        head = stream.read(_RIFF_HEAD)
        if head.startswith(_AUDIO):
            width = head[len(_AUDIO)]
            stream.seek(offset + len(_AUDIO) + 1)
            return _exactly(stream, int.from_bytes(stream.read(width), "little"), path)
        length = int.from_bytes(head[4:], "little") if head.startswith(b"RIFF") else _MOST_RIFF
        return head + (_exactly(stream, length, path) if length < _MOST_RIFF else stream.read())


def _tar_size(header: bytes, where: str) -> int:
    if header[_TAR_MARK] != b"ustar":
        raise ValueError(f"{where}: no file of the tar begins there; make the set again (stage 2)")
    return tarfile.nti(header[_SIZE])


def _exactly(stream: BinaryIO, size: int, path: str | Path) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise ValueError(f"{path}: cut short; make the set again (stage 2)")
    return content


def read_ahead(paths: Sequence[str]) -> threading.Thread:
    """Have the system read whole files into its cache, in one run from the disk; the process keeps none of it.

    A thread reads, while the first sounds are taken. It was measured to be a third faster than to advise the system,
    which then reads in another order.
    """

    def read() -> None:
        block = bytearray(_AHEAD)
        for path in paths:
            with (
                contextlib.suppress(OSError),
                open(path, "rb", buffering=0) as stream,
            ):  # its reader says why
                while stream.readinto(block):
                    pass

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread
