"""Single entries of git's index, read without a process.

Only the plain form of the file is read (version 2 of gitformat-index), which most repositories
have; of any other, and of an entry that is not a plain file, nothing is said and git has to be
asked. Entries are not walked through, which would take longer than git does where there are many,
but found by what surrounds a path: its length before, a NUL behind, the place a multiple of eight
bytes from the first.
"""

from __future__ import annotations

import os

_HEADER = 12
_FIXED = 62  # bytes before the path, where hashes have 20
_MODES = {0o100644: b"100644", 0o100755: b"100755", 0o120000: b"120000"}


def find(index: bytes, path: str) -> tuple[bytes, str] | None:
    """Return the mode and the hash of a path in an index file; None where it is not there as a
    plain file, or git has to be asked."""
    name = os.fsencode(path)
    if index[:8] != b"DIRC\0\0\0\2" or len(name) >= 0xFFF:
        return None
    # the flags are the length alone: not unmerged, not assumed to be unchanged
    wanted = len(name).to_bytes(2, "big") + name + b"\0"
    at = index.find(wanted, _HEADER + _FIXED - 2)
    while at >= 0:
        begin = at + 2 - _FIXED
        mode = _MODES.get(int.from_bytes(index[begin + 24 : begin + 28], "big"))
        if (begin - _HEADER) % 8 == 0 and mode:
            return mode, index[at - 20 : at].hex()
        at = index.find(wanted, at + 1)
    return None
