"""Waits for a parser to be imported, and has ``_gitexp_parsers`` loaded then: a program without one
pays for this file alone, which is why it is short."""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PARSERS = {  # what of _gitexp_parsers has a module tell what it parses
    "argparse": "argparse",
    "jsonargparse._core": "jsonargparse",
    "click.core": "click",
    "typer._click.core": "click",
    "absl.flags._flagvalues": "absl",
    "tyro._cli": "tyro",
    "fire.core": "fire",
    "hydra.core.utils": "hydra",
}
_HERE = os.path.dirname(__file__)


class _Finder:
    """Is asked first for each module, and has the loader of a parser tell when it is there."""

    def __init__(self) -> None:
        self.looking = False

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        if name not in PARSERS or self.looking:
            return None
        self.looking = True
        try:
            for finder in sys.meta_path:
                find: Any = getattr(finder, "find_spec", None)
                spec = find(name, path, target) if find and finder is not self else None
                if spec is not None:
                    _watch(spec)
                    return spec
        finally:
            self.looking = False
        return None


def _watch(spec: "Any") -> None:
    load: Any = getattr(spec.loader, "exec_module", None)

    def loaded(module: "Any") -> None:
        load(module)
        if module.__name__ == spec.name:
            _have(PARSERS[spec.name], module)

    try:
        if load:
            spec.loader.exec_module = loaded
    except AttributeError:  # a loader that takes no attributes: then without us
        pass


def _have(what: str, *about: "Any") -> None:
    """Have ``_gitexp_parsers`` do something; a fault of that is none of the program's."""
    try:
        sys.path.append(_HERE)
        try:
            import _gitexp_parsers  # type: ignore[import-not-found]  # beside this file
        finally:
            sys.path.remove(_HERE)
        getattr(_gitexp_parsers, f"watch_{what}")(*about)
    except Exception:
        pass


def _overrides_itself(script: str) -> bool:
    """Whether a script lets another one override its values, as nanoGPT's do."""
    if not script.endswith(".py"):
        return False
    with open(script, "rb") as file:
        return b"exec(open(" in file.read(10**6)


def begin() -> None:
    """Wait for parsers, where a run takes notes of them."""
    if not os.path.isdir(os.environ.get("GITEXP_RUN", "")):
        return
    sys.meta_path.insert(0, _Finder())
    for name in PARSERS:
        if name in sys.modules:
            _have(PARSERS[name], sys.modules[name])
    if _overrides_itself(getattr(sys, "argv", [""])[0]):
        _have("script")
