"""The house rules that a reader relies on: small rooms, imports that point one way, and the form of every source."""

import ast
import functools
import os
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import puffer_min
from puffer_min.__main__ import COMMANDS, main

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("env", "emulation", "wrappers", "intake", "vector", "learner", "selfplay", "commands", "course")        # each imports from those before it
LEAVES = {"clock": -1, "cores": -1, "processes": -1, "measure": 0}          # below all rooms; to measure, actions of `env` are drawn


@functools.cache
def sources() -> list[Path]:
    """The sources of the package, below puffer_min/, as git knows them or would add them."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.pyx", "*.pxd"]
    listed = subprocess.run(command, cwd=ROOT / "puffer_min", capture_output=True, text=True, check=True).stdout.split()
    return sorted(Path(name) for name in listed if (ROOT / "puffer_min" / name).exists())


def text_of(path: Path) -> str:
    return (ROOT / "puffer_min" / path).read_text()


def test_a_folder_holds_at_most_twelve_files():
    """`course` is excepted: its files are tools that a chapter imports by name, and nobody reads them as one thing."""
    folders = {path.parent for path in sources() if path.parts[0] != "course"}
    counts = {str(folder): sum(path.parent == folder for path in sources()) for folder in folders}
    assert {folder: count for folder, count in counts.items() if count > 12} == {}


STORY = [f"learner/{name}" for name in ("ppo.py", "buffer.py", "advantage.pyx", "distributions.py", "policy.py", "config.py")]
CEILINGS = {"the story of level 3": (STORY, 1_200), "vector": (["vector"], 1_900), "emulation": (["emulation"], 1_200),
            "wrappers": (["wrappers"], 600), "intake": (["intake"], 500)}


@pytest.mark.parametrize("what", CEILINGS)
def test_what_is_read_as_one_thing_stays_short(what):
    places, most = CEILINGS[what]
    inside = [path for path in sources() if any(Path(place) in (path, *path.parents) for place in places)]
    assert 0 < sum(len(text_of(path).splitlines()) for path in inside) <= most


def test_a_line_has_at_most_110_columns():
    """Ruff holds it in Python, tests excepted; this holds it in Cython as well, simulators included."""
    paths = [ROOT / "puffer_min" / path for path in sources()] + [*(ROOT / "envs").rglob("*.p[yx]*")]
    long = [f"{path.relative_to(ROOT)}:{number}" for path in paths if path.suffix in (".py", ".pyx", ".pxd")
            for number, line in enumerate(path.read_text().splitlines(), 1) if len(line) > 110]
    assert long == []


@pytest.mark.parametrize("path", [path for path in sources() if path.parts[0] != "course"], ids=str)
def test_a_file_of_the_library_has_less_than_400_lines(path):
    assert len(text_of(path).splitlines()) < 400


# ---------------------------------------------------------------------- who imports whom

def name_of(path: Path) -> str:
    """The module of a source: `vector.handoff` of vector/handoff.pyx, `vector` of vector/__init__.py."""
    return ".".join(part for part in path.with_suffix("").parts if part != "__init__")


@functools.cache
def modules() -> frozenset[str]:
    return frozenset(name_of(path) for path in sources())


def imports_of(path: Path, inside_functions: bool) -> set[str]:
    """Modules of the package that a source imports, without the leading `puffer_min.`, anywhere or only when it is loaded."""
    if path.suffix == ".py":
        tree = ast.parse(text_of(path))
        nodes = list(ast.walk(tree)) if inside_functions else loaded(tree)
        named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        named |= {f"{node.module}.{alias.name}" for node in nodes if isinstance(node, ast.ImportFrom) and node.module
                  for alias in node.names}
    else:
        found = re.findall(r"^\s*(?:from\s+([\w.]+)\s+)?c?import\s+([\w.]+)", text_of(path), re.M)
        named = {f"{package}.{name}" if package else name for package, name in found}
    inside = (name.removeprefix("puffer_min.") for name in named if name.startswith("puffer_min."))
    return {name if name in modules() else name.rpartition(".")[0] for name in inside} - {""}


def loaded(node):
    """The nodes below `node` that run when the module is loaded: those of functions do not."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield child
            yield from loaded(child)


def floor(module: str) -> int:
    """How high a module stands: leaves at the bottom, then the rooms in their order."""
    first = module.partition(".")[0]
    return LEAVES[first] if first in LEAVES else ROOMS.index(first)


def test_every_module_has_its_place_and_imports_only_downward():
    for path in sources():
        if path.name in ("__init__.py", "__main__.py") and len(path.parts) == 1:
            continue                                                # the door, which leads to every room
        upward = {name for name in imports_of(path, inside_functions=True) if floor(name) > floor(name_of(path))}
        assert not upward, f"{path} imports {', '.join(sorted(upward))}, which stands above it"


def test_imports_make_no_circle():
    graph = {name_of(path): imports_of(path, inside_functions=False) & modules() - {name_of(path)} for path in sources()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"these modules import each other: {' <- '.join(error.args[1])}")


# ---------------------------------------------------------------------- the door

def test_every_public_name_can_be_imported_from_the_top():
    missing = [name for name in puffer_min.__all__ if not hasattr(puffer_min, name)]
    assert missing == [] and set(puffer_min.__all__) <= set(dir(puffer_min))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_takes(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0 and capsys.readouterr().out.startswith(f"usage: python -m puffer_min {command}")


def test_each_of_fifteen_questions_leads_to_a_file_that_is_there():
    text = (ROOT / "puffer_min" / "README.md").read_text()
    questions = [line for line in text.splitlines() if re.match(r"\| .+\? \|", line)]
    assert len(questions) == 15 and all("](" in line for line in questions)
    for name, link in re.findall(r"\[([^\]]+)\]\(([^)]+)\)", text):
        assert (ROOT / "puffer_min" / link).exists() and link.endswith(name.rstrip("/")), link


# ---------------------------------------------------------------------- ruff


def test_ruff_finds_nothing_to_mend_in_any_source():
    found = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format", "concise", "."],
                           cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, f"run `make format`; what it leaves is to be mended by hand:\n{found.stdout}{found.stderr}"


# ---------------------------------------------------------------------- paths of the version before

def test_a_module_is_found_by_its_path_of_the_version_before_and_the_warning_names_the_new_path():
    script = """
import importlib, warnings
import puffer_min
for old, new in puffer_min._NOW.items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = importlib.import_module(old)
    assert module is importlib.import_module(new) and module.__spec__.name == new, old
    texts = [str(warning.message) for warning in caught if warning.category is DeprecationWarning]
    assert f"{old} is now {new}; the old path ends with the next version" in texts, (old, texts)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_program_for_the_version_before_runs_and_the_warning_points_into_it(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("from puffer_min.env import PufferEnv\nfrom puffer_min.adapters.sb3 import as_sb3\n"
                       "from puffer_min.checkpoint import read_checkpoint\nimport puffer_min.vector\n")
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert [f"program.py:{line}: DeprecationWarning" in done.stderr for line in (1, 2, 3, 4)] == [True] * 3 + [False]
