"""What the parser of a program arrived at, defaults included, noted for ``gitexp run``.

It runs inside other people's programs, in whatever Python they use: it imports nothing that they
might shadow, wraps the method that parses, and writes what came out as a line of Python literals
into the run's folder. Nothing in it prints, raises or blocks.
"""

from __future__ import annotations

import os
import sys

from _gitexp_notes import note, note_kept, quietly, said  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_LIBRARIES = frozenset((  # their callers are the ones who parse
    "argparse", "simple_parsing", "transformers", "tap", "configargparse", "trl",
))  # fmt: skip
_TOOLS = (  # whose own options are no params of a training
    "hydra", "tyro", "torch", "accelerate", "deepspeed", "horovod", "ray", "joblib", "loky",
    "pytest", "_pytest", "pip", "coverage", "IPython", "ipykernel", "jupyter", "nbconvert",
    "papermill", "fire", "dvc", "datalad", "mlflow", "wandb", "gitexp", "dask", "distributed",
    "flask", "uvicorn", "setuptools",
)  # fmt: skip
_depth = 0
_left: Any = None  # what the last parse left over, for the parser that goes on with it
_fires = False  # whether Fire's call goes by the command line
_root: Any = None  # click's outermost context, where it parses the command line


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
    if name == "__main__":  # a worker's, which a library starts by its path
        name = file.partition("-packages" + os.sep)[2].replace(os.sep, ".")
    of_python = file.startswith(os.path.dirname(os.__file__)) and "-packages" not in file
    return not of_python and not _is_tool(name)


# -- parsers ---------------------------------------------------------------------------------------
# ``watch_*`` gets a parser's module, just imported, and has it tell what it parses.


def _wrap(owner: Any, name: str, before: Callable[..., Any]) -> None:
    """Have a function call ``before`` first and, where that returns a function, hand it the result;
    inside of each other only the outermost one counts."""
    import functools  # which parsers have imported themselves

    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        global _depth
        after = quietly(before, *args, **kwargs) if _depth == 0 else None
        _depth += 1
        try:
            result = original(*args, **kwargs)
        finally:
            _depth -= 1
        if after is not None:
            quietly(after, result)
        return result

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
            note_kept(kind, lambda: _named(parser, vars(found)), _left)

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
        return (lambda result: note("jsonargparse", result.as_dict())) if _is_ours(args) else None

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
            note(kind, shown, () if hasattr(command, "commands") else context.args)

        return after

    _wrap(module.Command, "parse_args", before)


def watch_absl(module: Any) -> None:
    def before(flags: Any, argv: Any, *_: Any, **__: Any) -> Any:
        def values() -> dict[str, Any]:
            known = flags.flags_by_module_dict().items()
            own = [flag for name, some in known if not _is_installed(name) for flag in some]
            return {flag.name: flag.value for flag in own}

        def after(left: Any) -> None:
            note_kept("absl", values, left[1:])

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
        return (ours and quietly(noted, result, made)) or result

    def noted(result: Any, made: Any) -> Any:
        get, *rest = result if isinstance(result, tuple) else (result,)
        values, left = _tyro_values(made), rest[0] if rest else ()
        note("tyro", values, left)

        def got() -> Any:
            value = get()
            if hasattr(type(value), "__dataclass_fields__"):
                note_kept("tyro", lambda: dict(said(value, type(value))), left, values)
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
        values.update(inner if isinstance(inner, dict) else said(inner, type(inner)))
    return values


def watch_fire(module: Any) -> None:
    make = module._MakeParseFn

    def before(_component: Any = None, command: Any = None, *_: Any, **__: Any) -> None:
        global _fires
        _fires = _is_ours(command)

    def made(function: Any, *args: Any) -> Any:
        parse = make(function, *args)

        def tell(result: Any) -> None:
            values, named = result[0]
            form = module.inspectutils.GetFullArgSpec(function)
            given = {**dict(zip(form.args, values)), **named}
            note("fire", {**form.kwonlydefaults, **given})

        def parsed(words: Any) -> Any:
            result = parse(words)
            if _fires:
                quietly(tell, result)
            return result

        return parsed

    module._MakeParseFn = made
    _wrap(module, "Fire", before)


def watch_hydra(module: Any) -> None:
    run_job = module.run_job

    def run(*args: Any, **kwargs: Any) -> Any:
        task: Any = kwargs.pop("task_function") if "task_function" in kwargs else args[0]

        def noted(config: Any) -> Any:
            folder = quietly(tell, config)
            try:
                result = task(config)
            except Exception as error:
                quietly(end, folder, f"{type(error).__name__}: {error}")
                raise
            quietly(end, folder, "")
            return result

        return run_job(noted, *args[1:], **kwargs)

    def tell(config: Any) -> str:
        job = sys.modules["hydra.core.hydra_config"].HydraConfig.get()
        several = getattr(job.mode, "name", "") == "MULTIRUN"
        values = sys.modules["omegaconf"].OmegaConf.to_container(config, resolve=False)
        folder = str(job.runtime.output_dir) if several else ""
        note("hydra", values, (), folder)
        return folder

    def end(folder: str, error: str) -> None:
        if folder:
            note("end", {"error": error}, (), folder)

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
            quietly(note, "script", {name: names[name] for name in before if name in names})

    names["exec"] = execute


def _is_plain(name: str, value: Any) -> bool:
    numbers = value if isinstance(value, (list, tuple)) else ()
    plain = isinstance(value, (int, float, str, list, tuple, type(None)))
    all_plain = plain and all(isinstance(one, (int, float)) for one in numbers)
    return all_plain and not name.startswith("_")
