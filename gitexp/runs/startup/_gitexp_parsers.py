"""What the parser of a program arrived at, defaults included, noted for ``gitexp run``.

It runs inside other people's programs, in whatever Python they use: it imports nothing that they
might shadow, wraps the method that parses, and writes what came out as a line of Python literals
into the run's folder. Nothing in it prints, raises or blocks.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

_FOLDER = os.environ.get("GITEXP_RUN", "")
_ABOVE = "GITEXP_PARSED"  # set below a program that has parsed
_INNER = _ABOVE in os.environ
_OWNER = os.getpid()
_MOST_LINES = 10_000
_MOST_CHARACTERS = 10**6
_MOST_TEXT = 10_000
_LIBRARIES = frozenset((  # their callers are the ones who parse
    "argparse", "simple_parsing", "transformers", "tap", "configargparse", "trl",
))  # fmt: skip
_TOOLS = (  # whose own options are no params of a training
    "hydra", "tyro", "torch.distributed", "accelerate", "deepspeed", "horovod", "ray", "pytest",
    "_pytest", "pip", "coverage", "IPython", "ipykernel", "jupyter", "nbconvert", "papermill",
    "fire", "dvc", "datalad", "mlflow", "wandb", "gitexp", "dask", "distributed", "flask",
    "uvicorn", "setuptools",
)  # fmt: skip
_written = 0
_depth = 0
_left: Any = None  # what the last parse left over, for the parser that goes on with it
_fires = False  # whether Fire's call goes by the command line
_root: Any = None  # click's outermost context, where it parses the command line


# -- notes -----------------------------------------------------------------------------------------


def _note(kind: str, values: Any, left: Sequence[str] = (), folder: str = "") -> None:
    """Add a line to what the run knows of this program."""
    global _written
    if os.getpid() != _OWNER or _written >= _MOST_LINES:  # a forked worker is no program
        return
    import time

    facts = {"kind": kind, "argv": list(sys.argv), "left": list(left), "inner": _INNER}
    line = _literal({**facts, "at": time.time(), "folder": folder, "values": dict(values)}) + "\n"
    if len(line) > _MOST_CHARACTERS:
        return
    path = os.path.join(_FOLDER, f"parsed-{_OWNER}.txt")
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode("ascii"))
    finally:
        os.close(file)
    _written += 1
    os.environ[_ABOVE] = "1"


def _note_kept(kind: str, values: Callable[[], dict[str, Any]], left: Sequence[str]) -> None:
    """Note values that the program keeps in an object, now and as it fills them."""
    parsed = values()
    _note(kind, parsed, left)
    _note_filled(kind, parsed, values, left)


def _note_filled(
    kind: str, parsed: dict[str, Any], values: Callable[[], dict[str, Any]], left: Sequence[str]
) -> None:
    """Note at the program's end the values that were empty and that it filled since, as
    ``args.batch_size = args.envs * args.steps``."""
    import atexit

    def filled() -> None:
        now = values()
        late = {name: now[name] for name, value in parsed.items() if not value and now[name]}
        if late:
            _note(kind, late, left)

    atexit.register(_quietly, filled)


def _literal(value: Any, depth: int = 0) -> str:
    """Return a value as an ASCII literal: objects as what they say of themselves."""
    if value is None or isinstance(value, bool):
        return repr(value)
    kind: Any = type(value)
    if hasattr(kind, "__members__") and isinstance(getattr(value, "name", None), str):
        return ascii(value.name)  # an enum
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value).replace("inf", "1e999").replace("nan", "'nan'")
    if isinstance(value, str):
        return ascii(str(value)[:_MOST_TEXT])
    if depth > 20:
        raise ValueError("too deep")
    if isinstance(value, dict):
        items = (f"{_key(key)!a}: {_literal(item, depth + 1)}" for key, item in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join([_literal(item, depth + 1) for item in value]) + "]"
    if isinstance(value, (set, frozenset)):
        return "[" + ", ".join(sorted(_literal(item, depth + 1) for item in value)) + "]"
    return _literal(_said(value, kind), depth + 1)


def _key(key: Any) -> str:
    return key.name if hasattr(type(key), "__members__") else str(key)


def _said(value: Any, kind: Any) -> Any:
    """Return what an object stands for, in plain values."""
    if hasattr(kind, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in kind.__dataclass_fields__}
    for method in ("model_dump", "to_dict", "as_dict"):
        if hasattr(kind, method):
            return getattr(value, method)()
    if kind.__name__ == "Namespace":
        return dict(vars(value))
    if hasattr(kind, "__fspath__"):
        return os.fspath(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    shape = getattr(value, "shape", None)
    if shape == () and hasattr(value, "item"):
        return value.item()
    if isinstance(shape, tuple):
        return f"{kind.__name__} of shape {tuple(shape)}"
    if hasattr(value, "__qualname__"):  # a class or a function
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "read") and isinstance(getattr(value, "name", None), str):
        return value.name
    text = str(value)
    return kind.__name__ if " at 0x" in text else text


def _is_ours(args: Any) -> bool:
    """Whether somebody parses this program's own command line, or the rest of it."""
    return args is None or args is _left or list(args) == sys.argv[1:]


def _is_tool(name: str) -> bool:
    return any(name == tool or name.startswith(f"{tool}.") for tool in _TOOLS)


def _asks(frame: Any) -> bool:
    """Whether who parses is a program of the user's, and no tool or part of Python."""
    while frame is not None:
        spec = frame.f_globals.get("__spec__")
        name = str((spec and spec.name) or frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] not in _LIBRARIES:
            break
        frame = frame.f_back
    if frame is None:
        return True
    file = frame.f_code.co_filename
    of_python = file.startswith(os.path.dirname(os.__file__)) and "-packages" not in file
    return not of_python and not _is_tool(name)


# -- parsers ---------------------------------------------------------------------------------------
# ``watch_*`` gets a parser's module, just imported, and has it tell what it parses.


def _quietly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function of ours, whose faults are none of the program's."""
    try:
        return function(*args, **kwargs)
    except Exception:
        return None


def _wrap(owner: Any, name: str, before: Callable[..., Any]) -> None:
    """Have a function call ``before`` first and, where that returns a function, hand it the result;
    inside of each other only the outermost one counts."""
    original = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        global _depth
        after = _quietly(before, *args, **kwargs) if _depth == 0 else None
        _depth += 1
        try:
            result = original(*args, **kwargs)
        finally:
            _depth -= 1
        if after is not None:
            _quietly(after, result)
        return result

    for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(wrapped, attribute, getattr(original, attribute, None))
    wrapped.__wrapped__ = original  # type: ignore[attr-defined]
    setattr(owner, name, wrapped)


def watch_argparse(module: Any) -> None:
    def before(parser: Any, args: Any = None, namespace: Any = None) -> Any:
        if not (_is_ours(args) and _asks(sys._getframe(3))):
            return None

        def after(result: Any) -> None:
            global _left
            found, _left = result
            simple = type(parser).__module__.startswith("simple_")
            kind = "simple-parsing" if simple else "argparse"
            _note_kept(kind, lambda: _named(parser, vars(found)), _left)

        return after

    for name in ("parse_known_args", "parse_known_intermixed_args"):
        _wrap(module.ArgumentParser, name, before)


def _named(parser: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values by users' names, ``lr`` for ``config.lr`` given as ``--lr``."""
    names = {}
    for action in parser._actions:
        for option in action.option_strings:
            name = option[2:].replace("-", "_")
            if option.startswith("--") and f".{action.dest}".endswith(f".{name}"):
                names[action.dest] = name
    functions = ("function", "method", "builtin_function_or_method")
    shown = {key: item for key, item in values.items() if type(item).__name__ not in functions}
    return {names.get(key, key): item for key, item in shown.items()}


def watch_jsonargparse(module: Any) -> None:
    def before(_parser: Any, args: Any = None, *_: Any, **__: Any) -> Any:
        return (lambda result: _note("jsonargparse", result.as_dict())) if _is_ours(args) else None

    _wrap(module.ArgumentParser, "parse_args", before)


def watch_click(module: Any) -> None:
    def before(command: Any, context: Any, args: Any) -> Any:
        global _root
        callback = getattr(command, "callback", None)
        if context.resilient_parsing or _is_tool(getattr(callback, "__module__", None) or ""):
            return None
        if context.parent is None and list(args) == sys.argv[1:]:
            _root = context
        if context.find_root() is not _root:
            return None
        hidden = {item.name for item in command.params if getattr(item, "hide_input", False)}
        kind = "typer" if type(command).__module__.startswith("typer") else "click"

        def after(_: Any) -> None:
            shown = {key: item for key, item in context.params.items() if key not in hidden}
            _note(kind, shown, () if hasattr(command, "commands") else context.args)

        return after

    _wrap(module.Command, "parse_args", before)


def watch_absl(module: Any) -> None:
    def before(flags: Any, argv: Any, *_: Any, **__: Any) -> Any:
        def values() -> dict[str, Any]:
            known = flags.flags_by_module_dict().items()
            own = [flag for name, some in known if not _is_installed(name) for flag in some]
            return {flag.name: flag.value for flag in own}

        def after(left: Any) -> None:
            _note_kept("absl", values, left[1:])

        return after if list(argv) == sys.argv else None

    _wrap(module.FlagValues, "__call__", before)


def _is_installed(name: str) -> bool:
    return "-packages" in (getattr(sys.modules.get(name), "__file__", None) or "")


def watch_tyro(module: Any) -> None:
    parse, calling = module._cli_impl, module._calling
    call = calling.callable_with_args
    found: list[Any] = []  # for each parse that goes on, what it is about to call

    def called(*args: Any, **kwargs: Any) -> Any:
        made = call(*args, **kwargs)
        if found and kwargs.get("field_name_prefix", args[-1] if args else "") == "":
            found[-1] = made[0]
        return made

    def parsed(*args: Any, **kwargs: Any) -> Any:
        found.append(None)
        try:
            result = parse(*args, **kwargs)
        finally:
            made = found.pop()
        ours = _is_ours(kwargs.get("args"))
        return (ours and _quietly(noted, result, made)) or result

    def noted(result: Any, made: Any) -> Any:
        get, *rest = result if isinstance(result, tuple) else (result,)
        values, left = _tyro_values(made), rest[0] if rest else ()
        _note("tyro", values, left)

        def got() -> Any:
            value = get()
            if hasattr(type(value), "__dataclass_fields__"):
                _note_filled("tyro", values, lambda: dict(_said(value, type(value))), left)
            return value

        return ((got, *rest) if rest else got) if callable(get) else None

    calling.callable_with_args = called
    module._cli_impl = parsed


def _tyro_values(made: Any) -> dict[str, Any]:
    """Return the arguments that tyro is about to call with: ``partial(Config, lr=0.1)``."""
    values = dict(made.keywords)
    code = getattr(made.func, "__code__", None)
    names = getattr(made.func, "__dataclass_fields__", ()) or getattr(code, "co_varnames", ())
    values.update(zip(names, made.args))
    inner = values.pop("__tyro_dummy_inner__", None)
    if inner is not None:
        values.update(inner if isinstance(inner, dict) else _said(inner, type(inner)))
    return values


def watch_fire(module: Any) -> None:
    make = module._MakeParseFn

    def before(_component: Any = None, command: Any = None, *_: Any, **__: Any) -> None:
        global _fires
        _fires = _is_ours(command)

    def made(function: Any, *args: Any) -> Any:
        parse = make(function, *args)

        def note(result: Any) -> None:
            values, named = result[0]
            form = module.inspectutils.GetFullArgSpec(function)
            given = {**dict(zip(form.args, values)), **named}
            _note("fire", {**form.kwonlydefaults, **given})

        def parsed(words: Any) -> Any:
            result = parse(words)
            if _fires:
                _quietly(note, result)
            return result

        return parsed

    module._MakeParseFn = made
    _wrap(module, "Fire", before)


def watch_hydra(module: Any) -> None:
    run_job = module.run_job

    def run(*args: Any, **kwargs: Any) -> Any:
        task: Any = kwargs.pop("task_function") if "task_function" in kwargs else args[0]

        def noted(config: Any) -> Any:
            _quietly(note, config)
            return task(config)

        return run_job(noted, *args[1:], **kwargs)

    def note(config: Any) -> None:
        job = sys.modules["hydra.core.hydra_config"].HydraConfig.get()
        several = getattr(job.mode, "name", "") == "MULTIRUN"
        values = sys.modules["omegaconf"].OmegaConf.to_container(config, resolve=False)
        _note("hydra", values, (), job.runtime.output_dir if several else "")

    module.run_job = run


def watch_script() -> None:
    """Note the plain values of a script that lets another one override them, by ``exec(open(...))``
    on its own globals: those that were there before, as they are after."""
    names = sys.modules["__main__"].__dict__

    def execute(source: Any, *scopes: Any, **named: Any) -> None:
        frame = sys._getframe(1)
        names.pop("exec", None)
        before = [name for name, value in names.items() if _is_plain(name, value)]
        exec(source, *(scopes or (frame.f_globals, frame.f_locals)), **named)
        if not scopes and frame.f_locals is names:
            _quietly(_note, "script", {name: names[name] for name in before if name in names})

    names["exec"] = execute


def _is_plain(name: str, value: Any) -> bool:
    numbers = value if isinstance(value, (list, tuple)) else ()
    plain = isinstance(value, (int, float, str, list, tuple, type(None)))
    all_plain = plain and all(isinstance(one, (int, float)) for one in numbers)
    return all_plain and not name.startswith("_")
