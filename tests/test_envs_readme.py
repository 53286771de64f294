"""envs/README.md: its listing is built with the project's own build in a tree of its own, checked, played and broken."""

import argparse
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from puffer_min.__main__ import COMMANDS
from puffer_min.commands.check.probe import ANSWERS
from puffer_min.course.build import settings
from puffer_min.course.translate import CompileError, translate

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "envs" / "README.md").read_text()
LISTING = re.search(r"```cython\n(.*?)```", PAGE, re.S)[1]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The folder of a reader who has followed the page up to `Build it`."""
    root = tmp_path_factory.mktemp("reader")
    shutil.copy(ROOT / "setup.py", root)
    shutil.copytree(ROOT / "envs" / "core", root / "envs" / "core")
    for file in ("__init__.py", ".manifest-release.json"):
        shutil.copy(ROOT / "envs" / file, root / "envs")
    (root / "envs" / "catch.pyx").write_text(LISTING)
    command = re.search(r"PUFFER_ONLY=(\S+) python (.*)", PAGE)
    variables = release(root) | {"PUFFER_ONLY": command[1]}
    build = subprocess.run([sys.executable, *command[2].split()], cwd=root, env=variables, capture_output=True, text=True)
    assert build.returncode == 0, build.stderr[-3000:]
    return root


def release(root):
    """Environment variables under which `envs` is the one in `root`, in the release build."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PUFFER_DEBUG", "PUFFER_SANITIZE")}
    return kept | {"PYTHONPATH": str(root)}


def python(root, code):
    """What `code` prints as JSON when it runs in the reader's folder."""
    run = subprocess.run([sys.executable, "-c", code], cwd=root, env=release(root), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout)


def test_the_listing_keeps_the_contract(tree):
    found = python(tree, "import json, envs; from puffer_min.commands.check import check_environment; report = check_environment('catch')\n"
                         "print(json.dumps([envs.__file__, str(report), report.problems, report.doubts]))")
    assert Path(found[0]).parent == tree / "envs" and found[2:] == [[], []], found[1]


def test_the_listing_plays_by_the_rules_of_its_docstring(tree):
    scores = python(tree, """
import json, envs, numpy as np
random, scores = np.random.default_rng(0), {}
def follow(boards):
    fruit, basket = (boards == 1).argmax(1) % 5, (boards == 2).argmax(1) % 5
    return np.where(boards.max(1) == 2, np.sign(fruit - basket) + 1, 1)
def guess(boards):
    return random.integers(0, 3, len(boards))
def stay(boards):
    return np.ones(len(boards))
for name, choose in (("perfect", follow), ("random", guess), ("asleep", stay)):
    env = envs.make("catch", 64, report_interval=0)
    boards, _ = env.reset(0)
    for _ in range(900):
        boards, *_ = env.step(choose(boards).astype(np.int32))
    scores[name] = env.log()
print(json.dumps(scores))
""")
    assert scores["perfect"]["score"] == scores["perfect"]["episode_return"] == 1
    assert scores["random"]["score"] == pytest.approx(0.2, abs=0.03) and scores["asleep"]["score"] == pytest.approx(0.2, abs=0.03)
    assert all(log["episode_length"] == 9 and log["n"] == 6400 for log in scores.values())


def test_the_listing_draws_what_it_observes(tree):
    draw = "import json, envs; env = envs.make('catch'); env.reset(0); print(json.dumps(env.render().tolist()))"
    picture = np.array(python(tree, draw), np.uint8)
    assert picture.shape == (320, 160, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 4             # ground, lines, fruit, basket


def test_a_changed_source_is_refused_until_it_is_built(tree, tmp_path):
    stale = shutil.copytree(tree, tmp_path / "stale", ignore=shutil.ignore_patterns("build"))
    with open(stale / "envs" / "catch.pyx", "a") as source:
        source.write("\n# changed\n")
    (stale / "envs" / "dodge.pyx").write_text(LISTING)
    make = "import json, envs\ntry: envs.make('NAME')\nexcept ImportError as error: print(json.dumps(str(error)))"
    says = [python(stale, make.replace("NAME", name)) for name in ("catch", "dodge")]
    assert quoted("older source than the one") in says[0]
    assert quoted("is not compiled in the release").replace("catch", "dodge") in says[1]


def quoted(part):
    """The message in the page's table that contains `part`, as a reader sees it."""
    return next(message for message in re.findall(r"`([^`]+)`", PAGE[PAGE.index("## What goes wrong"):]) if part in message)


MISTAKES = {
    "Function declared nogil has Python locals": (
        "        cdef int i\n        for i in range(first, last):\n            game = &self.games[i]",
        "        for i in range(first, last):\n            game = &self.games[1 * i]"),
    "Assignment of Python object": (
        "        for i in range(first, last):\n            game =",
        "        caught = 0\n        for i in range(first, last):\n            caught += 1\n            game ="),
    "Coercion from Python": ("from envs.core.random cimport draw_below\n", ""),
    "undeclared name not builtin": ("            game.row += 1\n", "            game.row += speed\n"),
    "Calling gil-requiring function": ("cdef void observe(self, int i) noexcept nogil:", "cdef void observe(self, int i):"),
    "cdef statement not allowed here": ("            game.row += 1\n", "            cdef int row = 1\n            game.row += row\n"),
    "missing argument 'metric_names'": ('common, ("score",))', "common, truncates=True)"),
}


@pytest.mark.parametrize("part", MISTAKES)
def test_each_message_in_the_table_is_what_its_mistake_gives(part):
    before, after = MISTAKES[part]
    assert LISTING.count(before) == 1
    with pytest.raises(CompileError) as refusal:
        translate(LISTING.replace(before, after), Path("catch.pyx"), "catch", settings(False, None, False, False), ROOT / "envs")
    assert quoted(part) in str(refusal.value)


@pytest.mark.parametrize("words", re.findall(r"python -m puffer_min ([^#\n`]*)", PAGE))
def test_each_command_on_the_page_is_one_that_there_is(words):
    command, *rest = words.split()
    parser = argparse.ArgumentParser(exit_on_error=False)
    importlib.import_module(f"puffer_min.commands.{COMMANDS[command][0]}").add_arguments(parser)
    asked = parser.parse_args(rest)
    assert set(asked.tasks) <= set(ANSWERS) if command == "probe" else "catch" in str(asked) or command == "new"


@pytest.mark.parametrize("debug", [False, True], ids=["release", "debug"])
def test_the_listing_compiles_without_a_hint(debug):
    made = translate(LISTING, Path("catch.pyx"), "catch", settings(debug, None, False, False), ROOT / "envs")
    assert not made.hints


def test_a_missing_noexcept_is_a_hint():
    without = LISTING.replace("cdef void observe(self, int i) noexcept nogil:", "cdef void observe(self, int i) nogil:")
    made = translate(without, Path("catch.pyx"), "catch", settings(False, None, False, False), ROOT / "envs")
    start, end = quoted("Exception check after calling").split("...")
    assert any(start.strip() in str(hint) and end.strip() in str(hint) for hint in made.hints)
