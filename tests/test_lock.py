"""The lock file: every dependency is pinned, in a version that pyproject.toml allows, for any platform."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINES = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
PINNED = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in LINES)}


def test_a_line_is_a_name_and_a_version_that_every_platform_has() -> None:
    assert [line for line in LINES if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    assert [name for name in PINNED if re.match(r"nvidia-|cuda-|triton|pip$", name)] == []


def test_every_dependency_is_pinned_in_a_version_that_is_allowed() -> None:
    project = PROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values(), PROJECT["dependency-groups"]["dev"]]
    for requirement in (Requirement(text) for group in groups for text in group):
        pinned = PINNED.get(canonicalize_name(requirement.name))
        assert pinned is not None, f"{requirement.name} is not in requirements.lock; install it and run 'make lock'"
        assert requirement.specifier.contains(pinned), f"{requirement.name} {pinned} is not {requirement.specifier}"


def test_every_dependency_has_its_line_in_the_decisions() -> None:
    text = (ROOT / "docs/decisions/0002-dependencies.md").read_text()
    listed = {name for row in re.findall(r"^\| ([^|]+) \|", text, re.M) for name in re.findall(r"[\w-]+", row)}
    named = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    assert {Requirement(text).name for text in named} - listed == set()
