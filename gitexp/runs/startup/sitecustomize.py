"""Found by every Python below ``gitexp run``, before any sitecustomize of the user's, which comes
next.

Statements alone, so that each Python can read it; nothing here prints or raises.
"""

import sys

try:
    import _gitexp_startup  # type: ignore[import-not-found]  # it lies beside this file

    _gitexp_startup.begin()
except Exception:  # whatever it is, the program is not ours to stop
    pass

_here = __file__.replace("\\", "/").rpartition("/")[0]
sys.path[:] = [entry for entry in sys.path if entry.replace("\\", "/") != _here]
for _entry in [item for item in sys.path_importer_cache if item.replace("\\", "/") == _here]:
    del sys.path_importer_cache[_entry]
_ours = sys.modules.pop("sitecustomize")
try:
    import sitecustomize  # type: ignore[import-not-found]  # noqa: F401  the user's
except ImportError as _error:
    if getattr(_error, "name", None) != "sitecustomize":
        raise
finally:
    sys.modules.setdefault("sitecustomize", _ours)
