"""Messages of protobuf (https://protobuf.dev/programming-guides/encoding), read by the numbers of
their fields, without the packages that hold their descriptions; and logs of them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from gitexp.formats.errors import FormatError

_BLOCK = 32_768  # of a log
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_SIZES = {1: 8, 5: 4}  # of numbers of a fixed size, by their wire type


class Message:
    """A message; what it lacks reads as empty or 0. Raises FormatError where it is cut, or none."""

    __slots__ = ("_fields",)

    def __init__(self, data: bytes = b"") -> None:
        self._fields: dict[int, list[int | bytes]] = {}
        fields = self._fields
        try:
            for number, value in _fields(data):
                fields.setdefault(number, []).append(value)
        except IndexError:
            raise FormatError("a message is cut") from None

    def __bool__(self) -> bool:
        return bool(self._fields)

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def all(self, number: int) -> list[bytes]:
        """Return what stands in a repeated field."""
        return [item for item in self._fields.get(number, ()) if isinstance(item, bytes)]

    def raw(self, number: int) -> bytes:
        """Return the bytes of a field."""
        value = self._fields[number][-1] if number in self._fields else b""
        return value if isinstance(value, bytes) else b""

    def text(self, number: int) -> str:
        """Return the text of a field."""
        return self.raw(number).decode("utf-8", "replace")

    def texts(self, number: int) -> list[str]:
        """Return the texts of a repeated field."""
        return [item.decode("utf-8", "replace") for item in self.all(number)]

    def message(self, number: int) -> Message:
        """Return the message in a field."""
        return Message(self.raw(number))

    def messages(self, number: int) -> list[Message]:
        """Return the messages of a repeated field."""
        return [Message(item) for item in self.all(number)]

    def whole(self, number: int) -> int:
        """Return a whole number with its sign."""
        value = self._fields.get(number, [0])[-1]
        return whole(value) if isinstance(value, bytes) else _signed(value)

    def double(self, number: int) -> float:
        """Return a number of 64 bits."""
        data = self.raw(number)
        return float(struct.unpack("<d", data)[0]) if len(data) == 8 else 0.0

    def time(self) -> float:
        """Return the seconds since 1970 that it stands for, a ``google.protobuf.Timestamp``."""
        return self.whole(1) + self.whole(2) / 1e9


def whole(data: bytes) -> int:
    """Return the number of variable length that bytes begin with, with its sign."""
    return _signed(_varint(data, 0)[0] if data else 0)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number of each field, with its value: bytes, or a number of variable length."""
    at, end = 0, len(data)
    value: int | bytes
    while at < end:
        tag, at = (data[at], at + 1) if data[at] < 0x80 else _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
        else:
            size, at = _varint(data, at) if kind == 2 else (_SIZES.get(kind, end), at)
            value, at = data[at : at + size], at + size
            if at > end:
                raise IndexError
        yield tag >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number of variable length at a place, and where it ends."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value = shift = 0
    while byte >= 0x80:
        value |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        byte = data[at]
        if shift > 63:
            raise IndexError
    return (value | byte << shift) & 0xFFFFFFFFFFFFFFFF, at + 1


def logged(path: Path, header: bytes) -> Iterator[Message]:
    """Yield the messages of a log in LevelDB's format (github.com/google/leveldb,
    doc/log_format.md) behind a header, up to where it is torn; raises FormatError where it begins
    otherwise."""
    with open(path, "rb") as file:
        if file.read(len(header)) != header:
            raise FormatError("it does not begin as a log of that tool's does")
        for data in _records(file):
            with suppress(FormatError):  # a message of a newer version
                yield Message(data)


def _records(file: BinaryIO) -> Iterator[bytes]:
    """Yield the records of a log, up to its end or to where it is torn."""
    place = file.tell()
    parts: list[bytes] = []
    while True:
        left = _BLOCK - place % _BLOCK
        if left < 7:
            file.read(left)
            place += left
        head = file.read(7)
        if len(head) < 7:
            return
        checksum, size, kind = struct.unpack("<IHB", head)
        data = file.read(size)
        if len(data) < size or zlib.crc32(head[6:] + data) != checksum:
            return
        place += 7 + size
        parts = [*(parts if kind in (_MIDDLE, _LAST) else []), data]
        if kind in (_FULL, _LAST):
            yield b"".join(parts)
