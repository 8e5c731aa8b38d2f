"""Write docs/modules.md, the map of modules, from the rooms of tests/test_house.py and the first
sentence of each module.

python docs/make_map.py            # write it
python docs/make_map.py --check    # exit code 1 where it is not up to date
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/modules.md"
_HEAD = """# The map of modules

A module imports from its own room and from the rooms below it in this list. Why each is
as it is, its own docstring says, and [design.md](design.md) the rest. This
page is made by `make docs`.
"""


def rooms() -> tuple[str, ...]:
    """Return the rooms of the house, from the top."""
    for node in ast.parse((ROOT / "tests/test_house.py").read_text(encoding="utf-8")).body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "ROOMS"
        ):
            found: tuple[str, ...] = ast.literal_eval(node.value)
            return found
    raise LookupError("tests/test_house.py has no ROOMS")


def purpose(path: Path) -> str:
    """Return the first sentence of a module's docstring."""
    text = " ".join(
        (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")
        .partition("\n\n")[0]
        .split()
    )
    return re.split(r"(?<=[a-z`)\"'])\. ", text)[0].rstrip(".")


def lines() -> Iterator[str]:
    """Yield the lines of the map: a list for each room, a module on each line."""
    package = ROOT / "gitexp"
    for room in rooms():
        yield f"## {room}"
        yield ""
        for path in sorted((package / room).rglob("*.py")):
            yield f"- `{path.relative_to(package).as_posix()}`: {purpose(path)}"
        yield ""
    yield "## Beside them"
    yield ""
    for path in sorted(package.glob("*.py")):
        yield f"- `{path.name}`: {purpose(path)}"


def main() -> None:
    """Write the map, or check it."""
    new = _HEAD + "\n" + "\n".join(lines()).rstrip("\n") + "\n"
    if "--check" in sys.argv[1:]:
        sys.exit(
            0
            if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == new
            else f"docs/{PAGE.name} is not up to date; run: make docs"
        )
    PAGE.write_text(new, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
