"""The page for contributors names commands and files that exist."""

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from puffer_min.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_make_command_on_the_page_is_one_of_the_makefile():
    named = set(re.findall(r"\bmake ([a-z-]+)", PAGE))
    assert named and named <= TARGETS


def test_every_command_of_the_package_on_the_page_exists():
    named = set(re.findall(r"python -m puffer_min (\w+)", PAGE))
    assert named and named <= set(COMMANDS)


def paths() -> list[str]:
    """Paths of the repository: words in back quotes with a slash or the suffix of a file, and the targets of links."""
    quoted = [word for text in re.findall(r"`([^`\n]+)`", PAGE) for word in text.split()]
    words = quoted + re.findall(r"\]\(([^)]+)\)", PAGE)
    return sorted({word for word in words if re.fullmatch(r"[\w*-]+\.(py|md|ipynb|toml|yml)|\.?[\w-]+/[\w./*-]*", word)})


@pytest.mark.parametrize("path", paths())
def test_every_path_on_the_page_exists(path):
    pattern = path.rstrip("/").replace("NN_name", "[0-9]*").replace("NAME", "*")
    assert list(ROOT.glob(pattern)) or path == ".venv/bin/activate", f"{path} does not exist"


def test_every_module_on_the_page_exists():
    named = re.findall(r"python -m (puffer_min[\w.]*)", PAGE)
    assert named and all(importlib.util.find_spec(name) for name in named)


def test_every_room_is_on_the_page():
    rooms = {path.parent.name for path in (ROOT / "puffer_min").glob("*/__init__.py")}
    assert rooms and all(f"`puffer_min/{room}/`" in PAGE for room in rooms)


def test_the_page_is_one_page():
    assert len(PAGE.splitlines()) <= 80


def test_the_hooks_before_a_commit_run_what_exists_and_need_no_network():
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    commands = [hook["entry"].split() for hook in repositories[0]["hooks"]]
    assert [words[:2] for words in commands] == [[".venv/bin/ruff", "check"], ["make", "quick"]]
    assert "quick" in TARGETS and all(hook["language"] == "system" for hook in repositories[0]["hooks"])


def test_the_quick_tests_are_files_that_exist():
    said = subprocess.run(["make", "-n", "quick"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = re.findall(r"tests/test_\w+\.py", said)
    assert len(files) > 8 and all((ROOT / file).exists() for file in files)
