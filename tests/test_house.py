"""The house stands as docs/design.md draws it: what lies low knows nothing of what lies above, and
starting up is cheap."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import gitexp
from gitexp.cli import ALIASES, COMMANDS, cli

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gitexp"
MODULES = sorted(
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
    for path in PACKAGE.rglob("*.py")
)
ROOMS = (  # from the top; a module imports from its own room and from the rooms below
    "cli",
    "report",
    "integrations",
    "sweeps",
    "compare",
    "runs",
    "store",
    "repo",
    "formats",
)
STRANGERS = {("integrations", "sweeps")}  # rooms that do not know each other though one lies below
SLOW = (
    "pandas", "numpy", "dagshub", "git", "yaml", "tabulate", "portalocker", "configparser",
    "detect_secrets", "sqlite3", "mlflow", "requests", "httpx",
    "jinja2", "plotly", "matplotlib", "pygments", "sklearn", "nbdime", "wandb", "tensorboard",
    "dvc",
)  # fmt: skip


def imports(module: str, everywhere: bool = True) -> Iterator[str]:
    """Yield the modules that ``module`` imports when it runs; with ``everywhere``, inside its
    functions too."""
    path = PACKAGE / f"{module.replace('.', '/')}.py"
    todo: list[ast.AST] = [ast.parse(path.read_text())]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            todo += node.orelse
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module.partition(".")[0] == "gitexp":  # modules of a room, or names of a module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif everywhere or not isinstance(
            node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        ):
            todo += ast.iter_child_nodes(node)


def room(module: str) -> str:
    """Return the room in which a module lies, "" for those at the top of the package."""
    return module.partition(".")[0] if module.partition(".")[0] in ROOMS else ""


def ours(module: str, everywhere: bool = True) -> set[str]:
    """Return the modules of gitexp that ``module`` imports."""
    named = {
        ".".join(name.split(".")[1:end])
        for name in imports(module, everywhere)
        if name.startswith("gitexp.")
        for end in range(2, name.count(".") + 2)
    }
    return {name for name in named if name in MODULES and name != module}


def test_the_top_of_the_package_is_the_nine_rooms() -> None:
    there = {path.name for path in PACKAGE.iterdir()} - {"__pycache__"}
    assert there == {*ROOMS, "__init__.py", "__main__.py", "py.typed"}


@pytest.mark.parametrize("name", ROOMS)
def test_each_room_says_what_it_is_for_as_the_design_does(name: str) -> None:
    said = ast.get_docstring(ast.parse((PACKAGE / name / "__init__.py").read_text())) or ""
    sentence = " ".join(said.partition("\n\n")[0].split())
    assert f"| `{name}/` | {sentence} |" in (ROOT / "docs/design.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", [name for name in MODULES if room(name)])
def test_a_module_imports_nothing_from_a_room_above_its_own(module: str) -> None:
    here = room(module)
    above = {name for name in ours(module) if room(name) in ROOMS[: ROOMS.index(here)]}
    strange = {name for name in ours(module) if (here, room(name)) in STRANGERS}
    assert not above | strange, f"{module} imports {above | strange}, which it must not know"


def test_no_modules_import_each_other_in_a_circle() -> None:
    todo = {module: ours(module, everywhere=False) for module in MODULES}
    while free := [module for module, needs in todo.items() if not needs & {*todo}]:
        for module in free:
            del todo[module]
    assert not todo, f"these import each other: {sorted(todo)}"
    own = {name for name in ours("cli.__init__", everywhere=False) if room(name) == "cli"}
    assert not own, f"{own} import gitexp.cli, which they are a part of"


@pytest.mark.parametrize(
    "module", [name for name in MODULES if name not in ("repo.process", "store.checkout")]
)
def test_only_the_repo_package_imports_gitpython_and_only_its_process_module_starts_git(
    module: str,
) -> None:
    assert module.startswith("repo.") or not {
        name
        for name in imports(module)
        if name.partition(".")[0] == "git" and module != "formats.experiment"
    }
    tree = ast.parse((PACKAGE / f"{module.replace('.', '/')}.py").read_text())
    started = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.List) and node.elts and _is_text(node.elts[0], "git")
    ]
    assert not started, (
        f"{module}, line {started[0].lineno if started else 0}: git is started through gitexp.repo.Repo"
    )


@pytest.mark.parametrize(
    "module", [name for name in MODULES if not name.startswith("integrations.")]
)
def test_what_is_slow_to_import_is_imported_where_it_is_used(module: str) -> None:
    at_once = {name.partition(".")[0] for name in imports(module, everywhere=False)}
    allowed = (
        {"sqlite3"}
        if module in ("store.index", "store.index_update", "store.index_schema", "store.blocks")
        else set()
    )
    assert not at_once & {*SLOW} - allowed


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith("cli")])
def test_only_the_command_line_prints(module: str) -> None:
    tree = ast.parse((PACKAGE / f"{module.replace('.', '/')}.py").read_text())
    prints = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _is_name(node.func, "print")
    ]
    assert not prints, f"{module} prints on the lines {prints}; let it return the text"


@pytest.mark.parametrize(
    ("owner", "name"),
    [("runs", "runs"), ("sweeps", "sweeps"), ("store", "index.sqlite"), ("store", "highest")],
)
def test_only_the_room_itself_spells_where_its_files_lie(owner: str, name: str) -> None:
    others = [path for path in PACKAGE.rglob("*.py") if PACKAGE / owner not in path.parents]
    spelled = re.compile(rf'state_dir( / |\()"{name}"')
    assert not [path.name for path in others if spelled.search(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(
    "statement",
    [
        "import gitexp",
        "from gitexp.cli import main; main(['--version'])",
        "from gitexp.cli import main; main(['--help'])",
    ],
)
def test_starting_up_loads_nothing_slow(statement: str) -> None:
    program = f"import sys\ntry:\n    {statement}\nexcept SystemExit: pass\nprint([name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_documented(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help, f"gitexp {name} has no docstring"
    assert f"\n## gitexp {name}\n" in (ROOT / "docs/commands.md").read_text(), "run: make docs"
    unexplained = [
        option.name
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]
    assert not unexplained, f"gitexp {name} has options without help"


def _helps(path: str, command: click.Command) -> Iterator[tuple[str, str]]:
    context = click.Context(command, info_name=path, terminal_width=80)
    yield path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _helps(f"{path} {name}", found)


def test_the_help_fits_a_terminal_of_80_columns_and_nothing_in_it_is_cut() -> None:
    bad = [
        (path, line)
        for path, text in _helps("gitexp", cli)
        for line in text.splitlines()
        if len(line) > 80 or line.endswith(" ...")
    ]
    cut = [
        (path, line)
        for path, text in _helps("gitexp", cli)
        for line in text.splitlines()
        if re.search(r"\w\.\.\.$", line)
    ]
    assert not bad + [item for item in cut if not item[1].startswith(("Usage", "      "))]


def test_aliases_lead_to_commands() -> None:
    assert {*ALIASES.values()} <= {*COMMANDS}


def test_the_page_of_commands_is_what_the_commands_say() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs/make_commands.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_page_of_the_python_interface_is_what_the_docstrings_say() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs/make_api.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_each_public_name_is_on_the_page_of_the_python_interface_with_its_arguments() -> None:
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    for name in gitexp.__all__:
        assert name == "__version__" or f"\n### gitexp.{name}\n" in page, name
        thing = getattr(gitexp, name)
        if inspect.isfunction(thing):
            section = page.partition(f"\n### gitexp.{name}\n")[2].partition("\n### ")[0]
            told = {
                word
                for line in re.findall(r"^- `(.+?)`", section, re.M)
                for word in line.split(", ")
            }
            untold = {*inspect.signature(thing).parameters} - told - {"args", "kwargs", "options"}
            assert not untold, f"gitexp.{name} does not say what {untold} are"


def test_the_map_of_modules_names_each_module_with_what_it_is_for() -> None:
    named = re.findall(
        r"^- `(.+?)`: .+", (ROOT / "docs/modules.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(named) == sorted(f"{module.replace('.', '/')}.py" for module in MODULES), (
        "run: make docs"
    )


def test_the_map_of_modules_says_what_the_modules_say() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs/make_map.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def _is_text(node: ast.AST, text: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == text


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def test_the_pages_scripts_are_short_and_their_lines_fit_beside_each_other() -> None:
    scripts = {path: path.read_text().splitlines() for path in PACKAGE.rglob("*.js")}
    wide = [(path.name, line) for path in scripts for line in scripts[path] if len(line) > 100]
    assert scripts
    assert not wide
    assert max(map(len, scripts.values())) <= 400
    assert sum(map(len, scripts.values())) <= 3_000
