"""``@gitexp.track``: each call of a function as a run, whose arguments are the params and whose
mapping is the metrics.

Arguments are written for people to compare: data comes as its kind and shape, and an object that
has no words for itself as its class.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from gitexp.formats.errors import UsageError
from gitexp.runs.active import start_run
from gitexp.runs.run import Run

_MOST = 1_000  # elements of a list that is still a param
Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def track(function: Function) -> Function: ...


@overload
def track(**options: Any) -> Callable[[Function], Function]: ...


def track(function: Callable[..., Any] | None = None, **options: Any) -> Callable[..., Any]:
    """Record each call of a function as a run: its arguments are the params, and a mapping that it
    returns the metrics.

    Use it as ``@gitexp.track`` or ``@gitexp.track(labels=["baseline"])``; the options are those of
    ``start_run``. Methods and ``async`` functions are functions like others.

    Args:
        function: the function; left out where options are given.
        options: those of ``start_run``.

    Raises:
        UsageError: the function is a generator, which has no end that it could be recorded at.
    """
    if function is None:
        return functools.partial(track, **options)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(
            f"{function.__name__} is a generator, which track cannot follow; use gitexp.start_run"
            " inside of it"
        )
    signature = inspect.signature(function)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def tracked_later(*args: Any, **kwargs: Any) -> Any:
            with start_run(params=_described(signature, args, kwargs), **options) as run:
                return _logged(run, await function(*args, **kwargs))

        return tracked_later

    @functools.wraps(function)
    def tracked(*args: Any, **kwargs: Any) -> Any:
        with start_run(params=_described(signature, args, kwargs), **options) as run:
            return _logged(run, function(*args, **kwargs))

    return tracked


def _logged(run: Run, result: Any) -> Any:
    if isinstance(result, Mapping):
        run.log_metrics(result)
    return result


def _described(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a call as params; a method's own object is none."""
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    first = next(iter(signature.parameters), None)
    return {
        name: _said(value)
        for name, value in bound.arguments.items()
        if not (name == first and name in ("self", "cls"))
    }


def _said(value: Any) -> Any:
    if isinstance(value, (list, tuple, set, frozenset, dict, bytes)) and len(value) > _MOST:
        return f"{type(value).__name__} of {len(value):,}"
    if isinstance(value, (list, tuple)):
        return [_said(item) for item in value]
    if isinstance(value, dict):
        return {key: _said(item) for key, item in value.items()}
    kind: Any = type(value)
    bare = kind.__repr__ is object.__repr__ and kind.__str__ is object.__str__
    if bare and not hasattr(value, "tolist"):
        return kind.__qualname__  # not its address
    if inspect.isroutine(value) or inspect.isclass(value):
        return getattr(value, "__qualname__", str(value))
    return value
