"""Objects of git: read in batches by one process, small ones written without a process."""

from __future__ import annotations

import io
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from gitexp.formats.errors import GitError, NotFoundError
from gitexp.repo.process import Git

_FEW = 200  # objects
_SMALL = 2**20  # bytes
_TRIES = 20
# settings by which git syncs loose objects
_SYNCED = {"core.fsync", "core.fsyncmethod", "core.fsyncobjectfiles"}


class Object(NamedTuple):
    """A git object as ``cat-file --batch`` gives it."""

    id: str
    kind: str
    data: bytes


class Objects(Git):
    """Reads and writes the objects of a repository."""

    # ``{hash: what makes it again}`` of what is written; None where nobody asks
    made: dict[str, Callable[[], str]] | None = None

    def objects(self, names: Iterable[str]) -> Iterator[Object | None]:
        """Yield an object for each name (a hash, ``COMMIT:path``), None for what is not there. One
        process, in order."""
        todo = [os.fsencode(name) + b"\n" for name in names]
        if len(todo) <= _FEW:
            if todo:
                yield from _parsed_batch(
                    io.BytesIO(self.git("cat-file", "--batch", stdin=b"".join(todo))), len(todo)
                )
            return
        import tempfile

        # not a pipe, which two sides that both write can fill for good
        with tempfile.TemporaryFile() as request:
            request.writelines(todo)
            request.seek(0)
            # git reads on while we work on what came
            with self.stream("cat-file", "--batch", "--buffer", stdin=request) as output:
                yield from _parsed_batch(output, len(todo))

    def kinds(self, oids: Iterable[str]) -> dict[str, str]:
        """Return the kind of each object, ``missing`` for one that is not there."""
        oids = [*dict.fromkeys(oids)]
        asked = "".join(f"{oid}\n" for oid in oids).encode()
        found = self.git("cat-file", "--batch-check=%(objecttype)", stdin=asked).decode()
        return {oid: kind.rpartition(" ")[2] for oid, kind in zip(oids, found.splitlines())}

    def absent(self, oids: Sequence[str]) -> list[str]:
        """Return those objects that are not there."""
        kinds = self.kinds(oids) if oids else {}
        return [oid for oid, kind in kinds.items() if kind == "missing"]

    def tree(self, oid: str) -> bytes:
        """Return a raw tree object: one that was written a moment ago lies in a file of its own,
        and takes no process.

        Raises:
            GitError: it is not there.
        """
        found = self.loose(oid) or next(self.objects([oid]))
        if found is None or found.kind != "tree":
            raise GitError(
                f"the tree {oid[:10]} is missing; to look for damage: git fsck",
                stderr=f"missing {oid}",
            )
        return found.data

    def loose(self, oid: str) -> Object | None:
        """Return an object that lies in a file of its own; None for one that is packed, or not
        there."""
        import zlib

        with suppress(OSError, zlib.error):
            with open(f"{self.common_dir}/objects/{oid[:2]}/{oid[2:]}", "rb") as file:
                kind, _, data = zlib.decompress(file.read()).partition(b"\0")
            return Object(oid, kind.partition(b" ")[0].decode(), data)
        return None

    def read_file(self, commit: str, path: str) -> bytes:
        """Return a file of a commit.

        Raises:
            NotFoundError: it has none at ``path``.
            GitError: it has one whose content is not here.
        """
        try:
            return self.git("cat-file", "blob", f"{commit}:{path}")
        except GitError as error:  # the file is not there, or its object is not
            said = error.stderr.replace(path, "")
            gone = re.search("promisor|unable to read|corrupt|bad object", said)
            raise (error if gone else _no_file(commit, path)) from None

    @contextmanager
    def open_file(self, commit: str, path: str) -> Iterator[IO[bytes]]:
        """Yield a file of a commit, to be read while git unpacks it.

        Raises:
            NotFoundError: it has none at ``path``.
        """
        with self.conversation("cat-file", "blob", f"{commit}:{path}") as process:
            assert process.stdout is not None
            yield process.stdout
            if process.stdout.read(1):  # it was not wanted whole
                process.kill()
            elif process.wait():
                self.read_file(commit, path)  # which says why
                raise _no_file(commit, path)

    def write_object(self, kind: str, data: bytes) -> str:
        """Write an object and return its hash.

        Small ones are written as git writes a loose object (gitformat-loose,
        Documentation/gitrepository-layout), without a process: a run's start and end would take
        twice as long.
        """
        return self.remembered(partial(self._write_object, kind, data))

    def remembered(self, make: Callable[[], str]) -> str:
        """Make an object and return its hash; it can be made again where ``made`` is asked for."""
        oid = make()
        if self.made is not None:
            self.made[oid] = make
        return oid

    def _write_object(self, kind: str, data: bytes) -> str:
        # modes and syncs of another kind than by default are left to git
        if len(data) > _SMALL or self.shared or _SYNCED & self.told.keys():
            return self.line("hash-object", "-t", kind, "-w", "--stdin", stdin=data)
        oid = self.hash_of(kind, data)
        target = f"{self.common_dir}/objects/{oid[:2]}/{oid[2:]}"
        with suppress(OSError):  # it is young again, so that no prune that goes on takes it
            os.utime(target)
            return oid
        _write_loose(target, _packed(f"{kind} {len(data)}\0".encode() + data))
        return oid

    def hash_of(self, kind: str, data: bytes) -> str:
        """Return the hash that git gives an object."""
        import hashlib

        head = f"{kind} {len(data)}\0".encode()
        return hashlib.new(self.object_format, head + data).hexdigest()

    def write_file(self, path: Path) -> str:
        """Write a file's content, without filters, as a blob and return its hash."""
        if path.stat().st_size <= _SMALL:
            return self.write_object("blob", path.read_bytes())
        command = ("hash-object", "-w", "--no-filters", "--", str(path))
        return self.remembered(partial(self.line, *command))


def _write_loose(target: str, data: bytes) -> None:
    """Write an object's file beside its place, which a gc may empty or remove meanwhile, and move
    it there."""
    folder = os.path.dirname(target)
    part = f"{folder}/tmp_obj_{os.getpid()}_{threading.get_ident()}"
    for attempt in range(_TRIES):
        try:
            if attempt:
                with suppress(FileExistsError):
                    os.mkdir(folder)
            with open(part, "xb", opener=lambda path, flags: os.open(path, flags, 0o444)) as file:
                file.write(data)
            os.replace(part, target)
            return
        except FileNotFoundError:  # no such folder yet, or pruned
            continue
        except OSError as error:
            with suppress(OSError):
                os.unlink(part)
            # one that a killed process left may have our number
            if not isinstance(error, FileExistsError) or attempt:
                raise GitError(
                    f"git's objects cannot be written: {error.strerror}; check permissions and disk"
                    " space"
                ) from None
    raise GitError(
        f"git's objects cannot be written: {folder} is emptied again and again; try again when `git"
        " gc` is done"
    )


def _packed(data: bytes) -> bytes:
    """Return data as zlib packs it, with a small memory: to get a large one takes longer than
    packing some hundred bytes."""
    import zlib

    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 4)
    return packer.compress(data) + packer.flush()


def _parsed_batch(output: IO[bytes], count: int) -> Iterator[Object | None]:
    for _ in range(count):
        header = output.readline()
        if not header:
            raise GitError(
                "git stopped in the middle of reading objects; to look for damage: git fsck"
            )
        if header.endswith((b" missing\n", b" ambiguous\n")) or header.count(b" ") != 2:
            yield None
            continue
        oid, kind, size = header.split(b" ")
        yield Object(oid.decode(), kind.decode(), output.read(int(size) + 1)[:-1])


def _no_file(commit: str, path: str) -> NotFoundError:
    return NotFoundError(
        f"there is no file '{path}' in {commit[:10]}; to list its files: git ls-tree -r"
        f" --name-only {commit[:10]}"
    )
