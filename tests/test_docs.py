"""The docs say what is there: maps against the tree, commands against the parser, defaults against the config."""

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from concordant.cli import build_parser
from concordant.config import Section
from concordant.programme_config import ProgrammeConfig
from concordant.train_config import DistillConfig, PmpConfig, PreferenceModelConfig

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/concordant"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PAPER_MAP = (ROOT / "docs/paper-map.md").read_text()


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


# The map in README.md: a fenced block under "## Map". Each line is a name, two or more spaces, and a caption; a name
# that ends in "/" is a folder, and the lines below it that are indented further stand in it.


def readme_map() -> dict[Path, str]:
    """Path → caption."""
    block = re.search(r"^## Map$.*?^```\w*\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    assert block, "README.md has no fenced block under '## Map'"
    entries: dict[Path, str] = {}
    folders: list[tuple[int, Path]] = [(-1, ROOT)]
    for line in filter(str.strip, block.group(1).splitlines()):
        indent = len(line) - len(line.lstrip())
        name, _, caption = line.strip().partition("  ")
        while folders[-1][0] >= indent:
            folders.pop()
        path = folders[-1][1] / name
        entries[path] = caption.strip()
        if name.endswith("/"):
            folders.append((indent, path))
    return entries


def test_every_path_of_the_readme_map_exists_and_has_a_caption() -> None:
    entries = readme_map()
    assert [page_name(path) for path in entries if not path.exists()] == []
    assert [page_name(path) for path, caption in entries.items() if not caption] == []


def test_every_module_is_in_the_readme_map() -> None:
    modules = {
        path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" and "migrations" not in path.parent.parts
    }
    assert sorted(page_name(path) for path in modules - readme_map().keys()) == []


def in_code(text: str) -> Iterator[str]:
    """Every line of a fenced block, and every `inline` piece of code outside them."""
    fenced = r"^```\w*\n(.*?)^```$"
    for block in re.findall(fenced, text, re.M | re.S):
        yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(fenced, "", text, flags=re.M | re.S))


def test_every_path_of_the_paper_map_exists() -> None:
    """A path is given from the repository's root or from src/concordant."""
    paths = {piece for piece in in_code(PAPER_MAP) if re.fullmatch(r"[\w./-]+(\.py|\.md|\.toml|/)", piece)}
    assert len(paths) > 20
    assert sorted(path for path in paths if not ((ROOT / path).exists() or (PACKAGE / path).exists())) == []


def test_the_choices_of_the_paper_map_are_the_defaults() -> None:
    """Rows that begin with a key and a value: | `policy.clip` | `0.2` | …"""
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| `([^`]+)` \|", PAPER_MAP, re.M))
    of_the_machine = ("model", "teacher", "seed", "row_tokens", "checkpoint_seconds")
    keys = [
        key
        for key, _ in (*settings(ProgrammeConfig), *settings(PmpConfig, "pmp."), *settings(DistillConfig, "distill."))
    ]
    inherited = {f"pmp.{key}" for key in PreferenceModelConfig.model_fields if key not in PmpConfig.__annotations__}
    choices = {key for key in keys if key.startswith(("pm.", "pmp.", "distill.", "policy.", "sampling."))} - inherited
    assert {key for key in choices if not key.endswith(of_the_machine)} - rows.keys() == set()
    for key, stated in rows.items():
        value: object = SimpleNamespace(**dict(ProgrammeConfig()), pmp=PmpConfig(), distill=DistillConfig())
        for name in key.split("."):
            value = getattr(value, name)
        assert stated == str(value), f"{key} is {value}, and docs/paper-map.md says {stated}"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_commands_in_the_docs_can_be_typed(page: Path) -> None:
    for code in in_code(page.read_text()):
        code = code.removeprefix("$ ")
        if code.startswith("concordant "):
            problem = unknown_in(shlex.split(code, comments=True)[1:])
            assert problem is None, f"{code}: {problem}"
        if (target := re.match(r"make ([a-z]+)", code)) is not None:
            assert f"\n{target.group(1)}:" in (ROOT / "Makefile").read_text(), f"{code}: no such target"


def unknown_in(words: list[str]) -> str | None:
    """The first verb or option of a command line that the parser does not know."""
    parser: argparse.ArgumentParser = build_parser()
    for word in words:
        if word in ("|", ">", "&&", ";"):
            break
        verbs = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if word.startswith("-") and word.partition("=")[0] not in parser._option_string_actions:
            return f"{parser.prog} has no option {word}"
        if verbs and not word.startswith("-"):
            if word not in verbs[0].choices:
                return f"{parser.prog} has no verb {word}"
            parser = verbs[0].choices[word]
    return None


def test_the_look_at_commands_finds_what_is_wrong() -> None:
    assert unknown_in(["--version"]) is None
    assert unknown_in(["frobnicate"]) == "concordant has no verb frobnicate"
    assert unknown_in(["--frob=1"]) == "concordant has no option --frob=1"


def settings(section: type[Section], prefix: str = "") -> Iterator[tuple[str, str | None]]:
    for name, field in section.model_fields.items():
        yield prefix + name, field.description
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from settings(field.annotation, f"{prefix}{name}.")


def test_every_setting_is_described() -> None:
    found = dict([*settings(ProgrammeConfig), *settings(PmpConfig, "pmp."), *settings(DistillConfig, "distill.")])
    assert "policy.clip" in found and "pmp.lm_coef" in found
    assert [name for name, description in found.items() if not description or not description.endswith(".")] == []


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs/decisions"
    index = (folder / "README.md").read_text()
    notes = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [name for name in notes if f"[{name[:4]}]({name})" not in index] == []
    assert [int(name[:4]) for name in notes] == list(range(1, len(notes) + 1))


def test_pages_made_from_the_code_are_current() -> None:
    command = [sys.executable, str(ROOT / "docs/generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
