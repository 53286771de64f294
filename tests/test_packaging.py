"""One set of dependencies in three files, one direction between the packages, and a library that installs without the course."""

import ast
import functools
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, metadata, packages_distributions, version
from pathlib import Path

import lock
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from unchanged import LIBRARY

from puffer_min.cores import cores

ROOT = Path(__file__).resolve().parents[1]
CONDA_NAMES = {"pytorch": "torch", "playwright-python": "playwright", "line_profiler": "line-profiler"}
CONDA_ONLY = {"python", "pip", "make", "compilers"}
OF_CYTHON = {"cython", "cpython", "libc", "libcpp", "posix", "openmp"}


def conda_lines() -> list[str]:
    """Specifications in environment.yml, its pip section included."""
    lines = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    return [line for line in lines if isinstance(line, str)] + [line for part in lines if isinstance(part, dict) for line in part["pip"]]


def ranges(requirements) -> dict[str, str]:
    """Range by PyPI's canonical name."""
    found = {}
    for requirement in requirements:
        name = canonicalize_name(CONDA_NAMES.get(requirement.name, requirement.name))
        found[name] = str(requirement.specifier)
    return found


def declared() -> dict[str, str]:
    return ranges(requirement for group in lock.declared().values() for requirement in group)


def test_a_package_has_one_range_in_pyproject():
    seen = {}
    for group, requirements in lock.declared().items():
        for requirement in requirements:
            first = seen.setdefault(canonicalize_name(requirement.name), (group, requirement.specifier))
            assert first[1] == requirement.specifier, (
                f"{requirement.name} has range {first[1]} in {first[0]} and {requirement.specifier} in {group}.")


def test_the_lock_holds_a_version_inside_every_range_of_pyproject():
    pins = lock.locked()
    for group, requirements in lock.declared().items():
        for requirement in requirements:
            pin = pins.get(canonicalize_name(requirement.name))
            assert pin, f"{requirement.name} is in pyproject.toml ({group}) and not in requirements.lock: install it and run `make lock`."
            assert requirement.specifier.contains(pin), (
                f"{requirement.name}: pyproject.toml asks for {requirement.specifier}, requirements.lock holds {pin}.")


def test_conda_and_pyproject_ask_for_the_same_ranges():
    conda = ranges(Requirement(line) for line in conda_lines() if Requirement(line).name not in CONDA_ONLY)
    for name, specifier in declared().items():
        assert name in conda, f"{name} is in pyproject.toml and not in environment.yml."
        assert conda[name] == specifier, f"{name}: pyproject.toml asks for {specifier}, environment.yml for {conda[name]}."
    for name in conda:
        assert name in declared(), f"{name} is in environment.yml and not in pyproject.toml."


def test_conda_offers_the_pythons_that_the_project_supports():
    supported = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    offered = next(Requirement(line).specifier for line in conda_lines() if Requirement(line).name == "python")
    assert supported in str(offered), f"pyproject.toml asks for Python {supported}, environment.yml for {offered}."
    assert {python for python in ("3.10", *lock.PYTHONS, "3.14") if offered.contains(python)} == set(lock.PYTHONS)


def test_every_conda_line_says_which_level_needs_it():
    lines = [line for line in (ROOT / "environment.yml").read_text().splitlines() if re.match(r"\s+- (?!conda-forge|pip:)", line)]
    silent = [line.strip() for line in lines if not re.search(r"#.*(every level|levels? \d|tests of this file)", line)]
    assert len(lines) == len(conda_lines()) and not silent, f"environment.yml does not say which level needs {', '.join(silent)}."


def test_the_lock_is_complete_on_every_platform_and_is_what_is_installed():
    assert lock.LOCK.read_text() == lock.lock(), (
        "requirements.lock is not what .venv holds and pyproject.toml needs: run `make build`, or `make lock` to keep what .venv holds.")


def test_the_lock_pins_exactly_and_names_no_build():
    pins = [line for line in lock.LOCK.read_text().splitlines() if line and not line.startswith("#")]
    wrong = [line for line in pins if not re.fullmatch(r'[a-z0-9-]+==[0-9][\w.]*( ; sys_platform == "(linux|darwin)")?', line)]
    assert not wrong, f"requirements.lock holds more than names and versions: {wrong}."
    assert lock.locked()["torch"] == "2.13.0" and Version(version("torch")).public == "2.13.0"


def test_every_locked_version_runs_on_the_oldest_python_that_the_project_supports():
    oldest = Version(f"{lock.PYTHONS[0]}.0")                        # distributions stay at the patch release they started with
    for name, pin in lock.locked().items():
        try:
            wanted = metadata(name)["Requires-Python"]
        except PackageNotFoundError:                                # another platform's
            continue
        assert wanted is None or oldest in SpecifierSet(wanted), f"{name} {pin} needs Python {wanted}, and the project supports {oldest}."


# What imports what

def imported_packages(path: Path, inside_functions=True) -> set[str]:
    """Top-level names that a `.py`, `.pyx` or `.ipynb` file imports, anywhere or only when it is imported itself."""
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text())["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    else:
        text = path.read_text()
    if path.suffix == ".py":
        nodes = list(ast.walk(ast.parse(text))) if inside_functions else ast.parse(text).body
        names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    else:
        names = re.findall(r"^\s*(?:from|import|cimport)\s+([\w.]+)", text, re.MULTILINE)
    return {name.partition(".")[0] for name in names}


@functools.cache
def distributions() -> dict[str, list[str]]:
    return packages_distributions()


def tracked(*patterns: str) -> list[Path]:
    """Files that git knows, or would add, matching the patterns."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in listed if (ROOT / name).exists()]


def third_party(paths, inside_functions=True) -> dict[str, set[Path]]:
    """Files by the canonical name of each distribution that they import."""
    own = {path.stem for path in tracked("tests/*", "tools/*", "benchmarks/*", "capstone/*.py")} | {"envs", "puffer_min", "setup"} | OF_CYTHON
    own |= {"chapters", *(path.name for path in (ROOT / "chapters").iterdir() if path.is_dir())}        # what a chapter imports
    found: dict[str, set[Path]] = {}
    for path in paths:
        for name in imported_packages(path, inside_functions) - own - set(sys.stdlib_module_names):
            for distribution in distributions().get(name, [name])[:1]:
                found.setdefault(canonicalize_name(distribution), set()).add(path.relative_to(ROOT))
    return found


def test_everything_imported_is_named_in_pyproject():
    peers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["benchmarks"]
    used = third_party(path for path in tracked("*.py", "*.pyx", "*.ipynb") if path.parent.name != "benchmarks")
    used_there = third_party(tracked("benchmarks/*.py"))
    missing = {name: min(paths) for name, paths in used.items() if name not in declared()}
    missing |= {name: min(paths) for name, paths in used_there.items() if name not in {**declared(), **ranges(map(Requirement, peers))}}
    assert not missing, " ".join(f"{name} is imported by {path} and not named in pyproject.toml." for name, path in missing.items())


IMPORTER = """
import runpy, sys
sys.path.insert(0, "benchmarks")
for path in sys.argv[1:]:
    try:
        runpy.run_path(path, run_name="imported")
    except ModuleNotFoundError as error:                    # a peer that is not installed
        if error.name.partition(".")[0] in {"benchmarks", "envs", "puffer_min"}:
            raise
"""


def test_every_benchmark_finds_what_it_imports():
    ran = subprocess.run([sys.executable, "-c", IMPORTER, *map(str, tracked("benchmarks/*.py"))], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(("folder", "allowed"), [
    ("envs", {"numpy", "gymnasium"}),
    ("puffer_min", {"numpy", "gymnasium", "torch", "rich", "cloudpickle"}),
])
def test_importing_the_library_needs_nothing_beyond_its_dependencies(folder, allowed):
    paths = [path for path in tracked(f"{folder}/*.py", f"{folder}/*.pyx") if "course" not in path.parts]
    found = third_party(paths, inside_functions=False)          # what only a notebook needs may be imported where a notebook calls it
    assert set(found) <= allowed, "; ".join(f"{name} is imported by {', '.join(map(str, found[name]))}" for name in set(found) - allowed)


def test_imports_point_from_the_course_to_the_learner_to_the_environments():
    for path in tracked("envs/*.py", "envs/*.pyx"):
        assert "puffer_min" not in imported_packages(path), f"{path.relative_to(ROOT)} imports puffer_min: envs stands below it."
    for path in tracked("puffer_min/*.py", "puffer_min/*.pyx"):
        if "course" not in path.parts:
            upward = re.search(r"^\s*(from|import) puffer_min\.course", path.read_text(), re.MULTILINE)
            assert not upward, f"{path.relative_to(ROOT)} imports the course tools, which stand above it."


# The package

def test_every_folder_of_the_packages_is_a_package():
    """Folders without `__init__.py` are left out of a wheel in silence."""
    for path in tracked("envs/*.py", "envs/*.pyx", "puffer_min/*.py", "puffer_min/*.pyx"):
        assert (path.parent / "__init__.py").exists(), (
            f"{path.relative_to(ROOT)} lies in a folder without __init__.py and would be missing from a wheel.")


def test_the_project_imports_from_anywhere(tmp_path):
    code = "import envs, puffer_min; print(envs.make('squared', 2).num_agents)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip() == "2"


@pytest.mark.long
@pytest.mark.costly(*LIBRARY, "puffer_min/course/**/*", "pyproject.toml", "setup.py", "README.md", "LICENSE")
def test_a_wheel_from_a_clean_checkout_steps_every_environment_and_carries_its_policies(tmp_path):
    checkout, site = tmp_path / "checkout", tmp_path / "site"
    for path in tracked():
        (checkout / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        (checkout / path.relative_to(ROOT)).write_bytes(path.read_bytes())
    settings = checkout / "envs/core/compile_settings.py"
    settings.write_text(settings.read_text().replace('"-O3"', '"-O0"'))      # whether it runs is asked, not how fast
    (checkout / "setup.cfg").write_text(f"[build_ext]\nparallel = {cores()}\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PUFFER_")}
    pip_install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip_install, "--target", str(site), str(checkout)], check=True, env=environment)
    code = ("import envs, puffer_min\n"
            "for name in envs.names():\n"
            "    env = envs.make(name, 2)\n"
            "    env.reset(seed=0)\n"
            "    env.step(env.action_space.sample().astype(env.actions.dtype))\n"
            "from pathlib import Path\n"
            "puffer_min.load_policy(Path(puffer_min.__file__).parent / 'policies' / 'snake.pt')\n"
            "print(envs.__file__, len(envs.names()))")
    environment["PYTHONPATH"] = str(site)
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert said.returncode == 0, said.stderr
    (tmp_path / "empty").mkdir()
    for command in ("new my_env --compiled", "check my_env.pyx",
                    "train my_env.pyx --total-steps 1e5 --num-envs 64 --minibatch-size 1024 --run-dir run --dashboard none",
                    "eval my_env.pyx --checkpoint run/checkpoint.pt --episodes 9"):
        told = subprocess.run([sys.executable, "-m", "puffer_min", *command.split()], cwd=tmp_path / "empty", capture_output=True, text=True,
                              env=environment | {"PUFFER_CACHE": str(tmp_path / "cache")})
        assert told.returncode == 0, told.stderr
    file, count = said.stdout.split()
    assert Path(file).is_relative_to(site) and int(count) == len(list((ROOT / "envs").glob("*.pyx")))


@pytest.mark.long
@pytest.mark.costly(*LIBRARY, "README.md")
def test_the_readmes_python_does_what_it_says(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    for number, block in enumerate(blocks):
        (tmp_path / f"block{number}.py").write_text(block)
        said = subprocess.run([sys.executable, f"block{number}.py"], cwd=tmp_path, capture_output=True, text=True)
        assert said.returncode == 0, said.stderr
    assert (tmp_path / "cartpole.pt").exists()
