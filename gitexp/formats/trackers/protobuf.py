"""Messages of protobuf (https://protobuf.dev/programming-guides/encoding), read by the numbers of
their fields, without the packages that hold their descriptions."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from gitexp.formats.errors import FormatError

_SIZES = {1: 8, 5: 4}  # of numbers of a fixed size, by their wire type


class Message:
    """A message; what it lacks reads as empty or 0, as in protobuf itself.

    Raises:
        FormatError: it is cut, or none.
    """

    __slots__ = ("_fields",)

    def __init__(self, data: bytes = b"") -> None:
        self._fields: dict[int, list[int | bytes]] = {}
        fields = self._fields
        try:
            for number, value in _fields(data):
                if number in fields:
                    fields[number].append(value)
                else:
                    fields[number] = [value]
        except IndexError:
            raise FormatError("a message is cut") from None

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
        if isinstance(value, bytes):
            value = _varint(value, 0)[0] if value else 0
        return value - 2**64 if value >= 2**63 else value

    def double(self, number: int) -> float:
        """Return a number of 64 bits."""
        data = self.raw(number)
        return float(struct.unpack("<d", data)[0]) if len(data) == 8 else 0.0


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
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
