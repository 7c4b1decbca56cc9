"""The shape of the package: imports point down, heavy libraries stay in their rooms, files and functions stay small."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src/concordant"

LAYERS = (
    {"cli"},
    {"commands"},
    {"demo"},
    {"online", "scan_run"},
    {"serving_models", "pm_run", "distill_run", "prompt_writing", "scan", "online_report"},
    {"collect", "train", "evaluate"},
    {"store", "models"},
    {"prompts"},
    {"mixture", "live_board", "endpoint_sampler"},
    {"comparison", "sampler", "programme", "hhh_prompt", "board_fit"},
    {"conversation", "bradley_terry", "vote_cells", "runs", "programme_config", "parting", "reply_signs"},
    {"agreement", "drift", "topics"},
    {"train_config", "quantiles"},
    {"config", "sandbox", "sandbox_inside"},
    {"errors"},
)
"""Top first. A room imports from lower layers only, and from itself; rooms on one line never import each other."""

FORBIDDEN = {("train", "store"), ("evaluate", "store"), ("collect", "models")}
"""Downward imports that are refused all the same: training takes nouns, and collecting takes a Sampler."""

NETWORKS, SQL, HTTP, FIGURES = {"models", "train", "evaluate"}, {"store"}, {"collect"}, {"evaluate"}
HOMES = {
    **dict.fromkeys(("torch", "transformers", "peft", "safetensors", "gguf"), NETWORKS),
    **dict.fromkeys(("sqlalchemy", "alembic", "pyarrow"), SQL),
    **dict.fromkeys(("fastapi", "starlette", "uvicorn", "authlib", "joserfc"), HTTP),
    "pwdlib": SQL,
    "jinja2": HTTP | FIGURES,
    "matplotlib": FIGURES,
}
"""Which rooms may import a library, inside functions too. Libraries not named here are free."""

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """(top, next) of each name a module imports anywhere in it: ("concordant", "store"), ("torch", "nn")."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the whole name instead of a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            top, _, rest = name.partition(".")
            yield top, rest.partition(".")[0]


def may_import(room: str, other: str) -> bool:
    return room == other or (LEVEL[room] < LEVEL[other] and (room, other) not in FORBIDDEN)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def named(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_every_module_is_in_a_layer() -> None:
    assert {room_of(path) for path in MODULES} <= LEVEL.keys()


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    rooms = {other for top, other in imported(path) if top == "concordant" and other in LEVEL}
    assert [f"{room} imports {other}" for other in sorted(rooms) if not may_import(room, other)] == []


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_heavy_libraries_stay_in_their_rooms(path: Path) -> None:
    libraries = {top for top, _ in imported(path)}
    assert [library for library in sorted(libraries) if room_of(path) not in HOMES.get(library, LEVEL)] == []


@pytest.mark.parametrize(
    ("room", "other", "allowed"),
    [
        ("cli", "commands", True),
        ("commands", "store", True),
        ("store", "conversation", True),
        ("comparison", "conversation", True),
        ("store", "store", True),
        ("store", "collect", False),
        ("store", "models", False),
        ("collect", "train", False),
        ("collect", "models", False),
        ("train", "store", False),
        ("conversation", "comparison", False),
    ],
)
def test_the_rule_itself(room: str, other: str, allowed: bool) -> None:
    assert may_import(room, other) is allowed


def test_base_names_are_unique() -> None:
    names = Counter(path.name for path in MODULES if path.name != "__init__.py" and "migrations" not in path.parts)
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_files_are_short_and_say_what_they_are(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 400
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "the file does not open with a docstring"


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_functions_are_short_and_take_few_arguments(path: Path) -> None:
    for function in functions(path):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        arguments = [arg.arg for arg in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
        taken = len([name for name in arguments if name not in ("self", "cls")])
        assert lines <= 60, f"{function.name} has {lines} lines; 60 is the ceiling"
        assert taken <= 6, f"{function.name} takes {taken} arguments; more than 6 belong in a dataclass"


def loaded_after(code: str, libraries: set[str]) -> set[str]:
    """Which of the libraries a fresh interpreter has loaded after running the code."""
    code = f"{code}\nimport sys; print(*({libraries!r} & sys.modules.keys()), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_the_look_into_a_fresh_interpreter_sees() -> None:
    assert loaded_after("import sqlite3", {"sqlite3", "torch"}) == {"sqlite3"}


def test_only_networks_and_what_wires_them_load_torch() -> None:
    wiring = {*NETWORKS, "serving_models", "pm_run", "distill_run", "online", "online_report", "scan_run", "demo"}
    names = [
        ".".join(("concordant", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for path in MODULES
        if room_of(path) not in wiring and "migrations" not in path.parts
    ]
    code = "\n".join(f"import {name}" for name in names)
    assert loaded_after(code, {"torch", "transformers"}) == set()


HELP = "from concordant.cli import build_parser; build_parser().format_help()"


def test_help_loads_nothing_heavy() -> None:
    assert loaded_after(HELP, {*HOMES, "httpx", "rich", "numpy"}) == set()
