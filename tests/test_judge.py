"""The judge outside the answer: each attack costs its own exercise, and what an answer can see, use and leave behind is limited."""

import csv
import importlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from puffer_min.course import checks, sandbox
from puffer_min.course.check import CheckFailed, check, registered
from puffer_min.course.judge import trial
from puffer_min.course.solutions import ROOT, read, role
from puffer_min.course.wire import GeneratorState, NotPlain, pack, unpack, write_back

TEST = 'assert double(3) == 6, "double(3) is not 6"'
RIGHT = "def double(number):\n    return 2 * number"
PATCH = ("import sys, puffer_min.course\nmodule = sys.modules['puffer_min.course.check']\n"
         "puffer_min.course.check = module.check = lambda *a, **k: None\nmodule.Check.run = lambda *a, **k: None\n")
check_module = sys.modules["puffer_min.course.check"]
isolated = pytest.mark.skipif(sandbox.best_mode() == "plain", reason="no sandbox on this machine")


def sentence(answer, test=TEST, seconds=20.0, mode=None, seed=7, **names):
    """What the judge says of an answer to the toy exercise; empty when it is right."""
    shell = types.SimpleNamespace(user_ns=dict(names))
    try:
        trial(shell, [("answer", answer)], test, seconds, mode or sandbox.best_mode(), seed)
    except CheckFailed as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def loop():
    """(set-up cells, the solution, the test cell) of 1.1, whose answer plays a live environment and is judged inside."""
    solutions = read(ROOT / "solutions" / "01_results.ipynb")
    cells, exercise = solutions.notebook.cells, solutions.exercises[0]
    setups = [("setup", cell.source) for cell in cells[:exercise.cells[0]] if role(cell) == "locked"]
    return setups, exercise.source, cells[exercise.tests[0]].source


def live_sentence(loop, answer, seconds=20.0):
    """As `sentence`, for 1.1."""
    setups, _, test = loop
    try:
        trial(types.SimpleNamespace(user_ns={"check": check}), [*setups, ("answer", answer)], test, seconds, sandbox.best_mode())
    except CheckFailed as error:
        return str(error)
    return ""


# Values over the pipe

def test_values_come_back_as_they_went():
    value = {"a": [1, 2.5, None, "text", b"bytes", 2j], 3: (np.arange(6, dtype=np.int16).reshape(2, 3), np.float32(0.5), True), "s": {1, 2}}
    back = unpack(pack(value))
    assert back["a"] == value["a"] and back["s"] == {1, 2}
    assert back[3][0].dtype == np.int16 and np.array_equal(back[3][0], value[3][0])
    assert type(back[3][1]) is np.float32 and back[3][2] is True


@pytest.mark.parametrize("value", [object(), print, np.array([object()]), type("Yes", (), {"__eq__": lambda *_: True})()])
def test_objects_are_refused_by_name(value):
    with pytest.raises(NotPlain, match="it returns an object of the type"):
        pack([value])


@pytest.mark.parametrize("data", [b"", b"\xff" * 100, pack(1)[:-3], pack(np.ones(4))[:-8], b"\x00" * 16])
def test_bytes_that_nobody_packed_are_refused(data):
    with pytest.raises(ValueError, match="the bytes are no packed value"):
        unpack(data)


def test_what_an_answer_does_to_its_arguments_is_done_to_the_callers():
    array, numbers, table, rng, other = np.zeros(3), [1, [2]], {"a": np.ones(2)}, np.random.default_rng(0), np.random.default_rng(0)
    other.random(5)
    after = unpack(pack((np.arange(3.0), [7, [2, 3]], {"a": np.zeros(2)}, other)))
    assert isinstance(after[3], GeneratorState)
    write_back((array, numbers, table, rng), after)
    assert array.tolist() == [0, 1, 2] and numbers == [7, [2, 3]] and table["a"].tolist() == [0, 0]
    assert rng.random() == other.random()


# Right and wrong

def test_right_is_right_and_wrong_gets_its_sentence():
    assert sentence(RIGHT) == ""
    assert sentence("def double(number):\n    return number") == "double(3) is not 6"
    assert sentence("def double(number):\n    return [][0]") == "IndexError: list index out of range"
    assert sentence("double = 2 +") .startswith("SyntaxError")


def test_arguments_that_an_answer_changes_are_seen_by_the_test():
    assert sentence("def double(x):\n    x *= 2", "x = np.ones(2)\ndouble(x)\nassert x.tolist() == [2, 2]", np=np) == ""


def test_plain_mode_judges_outside_too_and_throws_its_home_away():
    answer = "import os, pathlib\nhome = pathlib.Path.home()\n(home / 'mark').write_text('x')\ndef double(n):\n    return str(home)"
    test = "home = double(0)\nimport pathlib\nassert pathlib.Path(home, 'mark').exists()\nraise LookupError(home)"
    said = sentence(answer, test, mode="plain")
    assert said.startswith("LookupError: ") and not Path(said.removeprefix("LookupError: ")).exists()
    assert sentence(PATCH + "def double(n):\n    return 0", mode="plain") == "double(3) is not 6"


LEVEL = '''
from puffer_min.course.check import register
from puffer_min.course.claims import expect, same_values

@register("double")
def _(double, rng, hidden):
    "values"
    same_values(double, lambda number: 2 * number, [(float(rng.normal()) if hidden else 3,)])

@register("double", part="style", live=True)
def _(double, rng, hidden):
    "its name"
    expect(double.__name__ != "f", f"call it double ({rng.integers(1 << 30)}, {hidden})")
'''


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A level of one exercise whose values are decided outside and whose style is looked at inside; judges a cell of it."""
    (tmp_path / "level99.py").write_text(LEVEL)
    monkeypatch.setattr(check_module, "_REGISTRY", dict(registered()))
    monkeypatch.setattr(checks, "__path__", [str(tmp_path)])
    importlib.import_module("puffer_min.course.checks.level99")
    yield lambda answer, test, seed=7: sentence(answer, f"from puffer_min.course import check\n{test}", seed=seed, check=check)
    del sys.modules["puffer_min.course.checks.level99"]


def test_each_part_is_judged_where_it_says(parts):
    value, style = 'check("double", double, hidden=True)', 'check("double", double, part="style")'
    assert parts(RIGHT, value) == parts(RIGHT, style) == parts(RIGHT, value.replace("True", "False")) == ""
    assert parts("f = lambda n: 2 * n\nf.__name__ = 'f'\ndouble = f", value) == ""
    assert parts("def f(n):\n    return 2 * n\ndouble = f", style).startswith("double, style: call it double (")
    assert parts("def double(n):\n    return 6", value.replace("True", "False")) == ""
    assert parts("def double(n):\n    return 6", value).startswith("double: it gives 6, expected ")


@pytest.mark.parametrize("test, answer", [('check("double", double, hidden=True)', "def double(n):\n    return 6"),
                                          ('check("double", double, part="style", hidden=True)', "def f(n):\n    return 2 * n\ndouble = f")])
def test_hidden_inputs_come_from_the_judges_seed(parts, test, answer):
    said = [parts(answer, test, seed) for seed in (1, 2, 1)]
    assert said[0] == said[2] != said[1]


# Attacks, one by one

@pytest.mark.parametrize("answer, said", [
    (PATCH + "def double(n):\n    return 0", "double(3) is not 6"),
    ("def double(n):\n    raise SystemExit(0)", "SystemExit: 0"),
    ("import os\nos._exit(0)", "the cell killed its kernel"),
    ("def double(n):\n    import os\n    os._exit(0)", "the cell killed its kernel"),
    ("class Yes:\n    def __eq__(self, other):\n        return True\ndef double(n):\n    return Yes()", "it returns an object of the type Yes"),
    ("def double(n):\n    return sum(range(10 ** 15))", "the cell ran longer than 2 s and was stopped"),
    ("def double(n):\n    return bytearray(1 << 40)", "MemoryError"),
    ("def double(n):\n    import os\n    for pipe in range(3, 64):\n        try:\n            os.write(pipe, bytes(16))\n"
     "        except OSError:\n            pass\n    return 6", "the answer's process sent something that is not an answer"),
    ("def double(n):\n    import os\n    for pipe in range(3, 64):\n        try:\n            while True:\n                os.write(pipe, b'x' * 65536)\n"
     "        except OSError:\n            pass", "the cell killed its kernel"),
], ids=["patches check", "exits", "exits at once", "exits at once inside", "is equal to all", "endless loop in C", "takes all memory", "forges a reply",
        "floods the pipe"])
def test_an_attack_costs_the_exercise(answer, said):
    assert sentence(answer, seconds=2.0 if "range(10" in answer else 20.0).startswith(said)


def test_a_pickle_over_the_pipe_is_not_read(tmp_path):
    """Replies are numbers, text and arrays; a pickle that runs a command is bytes that nobody packed."""
    mark = tmp_path / "mark"
    answer = ("def double(n):\n    import os, pickle, struct\n    class Evil:\n        def __reduce__(self):\n"
              f"            return os.system, ('touch {mark}',)\n    data = pickle.dumps(Evil())\n    for pipe in range(3, 64):\n        try:\n"
              "            os.write(pipe, struct.pack('<Q', len(data)) + data)\n        except OSError:\n            pass\n    return 6")
    assert sentence(answer) == "the answer's process sent something that is not an answer" and not mark.exists()


@pytest.mark.parametrize("value", ["['array', '<i4', [2 ** 40], 0]", "['array', '|O', [1], 0]", "['list', [['list', 3]]]", "['set', [['dict', []]]]",
                                   "['complex', 'a', []]", "['no such kind']", "['plain']", "3", "[" * 50 + "]" * 50])
def test_packed_nonsense_is_refused(value):
    tree = str(eval(value, {})).replace("'", '"').encode()
    with pytest.raises(ValueError, match="the bytes are no packed value"):
        unpack(struct.pack("<3Q", len(tree), 1, 4) + tree + bytes(4))


@isolated
def test_no_other_process_is_to_be_seen_or_signalled():
    listing = "def double(n):\n    import os\n    return [name for name in os.listdir('/proc') if name.isdigit()]"
    assert sentence(listing, "assert 0 < len(double(0)) <= 4, str(double(0))") == ""
    said = sentence("def double(n):\n    import os\n    os.kill(os.getppid(), 9)\n    return 0")
    assert said.split(":")[0] in ("double(3) is not 6", "PermissionError", "ProcessLookupError") or said.startswith("the cell killed its kernel")


def test_flooding_output_costs_nothing():
    assert sentence("print('x' * 50_000_000)\n" + RIGHT) == ""


@isolated
@pytest.mark.parametrize("line", ["from puffer_min.course.checks.level03 import reference_gae", f"open({str(ROOT / 'solutions' / '01_results.ipynb')!r})",
                                  f"open({str(ROOT / 'puffer_min/course/checks/level03.py')!r})", "open('/usr/mark', 'w')", "open('/mark', 'w')",
                                  "import os; os.chroot('/tmp')", "import subprocess; subprocess.run(['umount', '/tmp'], check=True)"])
def test_references_solutions_and_the_system_are_out_of_reach(line):
    said = sentence(f"{line}\n{RIGHT}\ndouble(1)", "assert double", mode=sandbox.best_mode())
    assert said.split(":")[0] in ("ModuleNotFoundError", "FileNotFoundError", "OSError", "PermissionError", "CalledProcessError", "NameError")


@isolated
def test_gradebook_and_home_folder_are_out_of_reach(tmp_path):
    book = tmp_path / "gradebook.db"
    book.write_text("marks")
    tmp_path.chmod(0o777)
    book.chmod(0o666)
    assert sentence(f"def double(n):\n    open({str(book)!r}, 'a').write('more')").startswith("FileNotFoundError")
    assert sentence(f"def double(n):\n    import os\n    return 6 if os.path.exists({str(Path.home())!r} + '/.bashrc') else 0") == "double(3) is not 6"
    assert book.read_text() == "marks"


@isolated
def test_there_is_no_network():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = sentence(f"def double(n):\n    import socket\n    socket.create_connection(('127.0.0.1', {port}), 5)")
    assert said.split(":")[0] in ("OSError", "ConnectionRefusedError")


@isolated
def test_a_fork_bomb_stays_within_its_limit_and_ends_with_its_answer():
    mark = "bomb-of-test-judge"
    count = ("import os, time\ndef double(n):\n    children = 0\n    try:\n        while True:\n            if os.fork() == 0:\n"
             f"                open('/proc/self/comm', 'w').write({mark[:15]!r})\n                time.sleep(600)\n            children += 1\n"
             "    except OSError:\n        return children")
    assert sentence(count, f"assert 8 < double(0) <= {sandbox.TASKS}") == ""
    assert named(mark) == []


@isolated
def test_a_process_that_leaves_its_session_ends_with_its_answer():
    mark = "runaway-of-test"
    answer = ("import ctypes, os, time\ndef double(n):\n    ctypes.CDLL(None).prctl(1, 0)\n    os.setsid()\n    open('/proc/self/comm', 'w')"
              f".write({mark!r})\n    if os.fork() == 0:\n        os.setsid()\n        time.sleep(600)\n    return 6")
    assert sentence(answer) == ""
    assert named(mark) == []


def named(mark):
    """The processes of the machine that have called themselves by a name."""
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            found += [path] if mark[:15] in path.read_text() else []
        except OSError:
            continue                                        # it ended meanwhile
    return found


# Exercises judged inside

def test_a_live_exercise_is_judged_in_the_sandbox(loop):
    assert live_sentence(loop, loop[1]) == ""
    assert live_sentence(loop, "def play_episode(env, policy):\n    return 0.0").startswith("loop: ")


@pytest.mark.parametrize("answer, said", [
    (PATCH, "the answer changes puffer_min.course.check"),
    ("import numpy\nnumpy.isclose = numpy.allclose = lambda *a, **k: numpy.True_\n", "the answer changes numpy"),
    ("from IPython.core.interactiveshell import ExecutionResult\nExecutionResult.error_in_exec = property(lambda s: None, lambda s, v: None)\n",
     "the answer changes IPython"),
    ("import puffer_min.course.claims as claims\nclaims.all = lambda x: True\n", "the answer changes puffer_min.course.claims.all"),
    ("import builtins\nbuiltins.abs = lambda x: 0\n", "the answer changes builtins.abs"),
    ("import sys\nassert not sys.modules['puffer_min.course.check']._REGISTRY\n"
     "import puffer_min.course.checks.level01\n", "ModuleNotFoundError"),
    ("import os\nos._exit(0)\n", "the cell killed its kernel"),
    ("", "NameError"),
], ids=["patches check", "patches numpy", "patches IPython", "hides a builtin", "patches builtins", "imports the reference", "exits", "no answer"])
def test_an_attack_from_inside_costs_the_exercise(loop, answer, said):
    worthless = "def play_episode(env, policy):\n    return 0.0" if answer else ""
    assert said in live_sentence(loop, answer + worthless)


def test_there_is_no_token_in_memory_while_a_live_answer_runs(loop):
    """The judge's token has 32 digits and letters of the hexadecimal system; it is drawn when the test is over."""
    searching = ("def play_episode(env, policy):\n    import gc, re, sys\n    frame, found = sys._getframe(), []\n    while frame:\n"
                 "        found += frame.f_locals.values()\n        frame = frame.f_back\n    found += [part for item in gc.get_objects() "
                 "if isinstance(item, (tuple, list, dict)) for part in (item.values() if isinstance(item, dict) else item)]\n"
                 "    tokens = {part for part in found if type(part) is str and re.fullmatch('[0-9a-f]{32}', part)}\n"
                 "    raise LookupError(f'{len(tokens)} tokens among more than 1000: {len(found) > 1000}')")
    assert "0 tokens among more than 1000: True" in live_sentence(loop, searching)


def test_a_live_answer_that_forges_its_verdict_has_not_the_token(loop):
    forged = ("def play_episode(env, policy):\n    import os, struct\n    from puffer_min.course.wire import pack\n    data = pack('passed')\n"
              "    for pipe in range(3, 64):\n        try:\n            os.write(pipe, struct.pack('<Q', len(data)) + data)\n        except OSError:\n"
              "            pass\n    os._exit(0)")
    assert live_sentence(loop, forged).startswith("the cell killed its kernel")


def test_a_missing_sandbox_is_said_in_a_sentence(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert not sandbox.works("bwrap") and not sandbox.works("unshare")


def test_the_containers_recipe_copies_what_there_is_and_starts_the_grader():
    lines = (ROOT / "Containerfile").read_text().splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert {"puffer_min", "envs", "solutions", "tools"} <= set(copied) and all((ROOT / name).exists() for name in copied)
    assert any(line.startswith("ENTRYPOINT") and "puffer_min.course.grade" in line for line in lines)


def test_the_containers_recipe_copies_all_that_the_grader_needs(tmp_path):
    """Its command, run where nothing else of the repository is."""
    lines = (ROOT / "Containerfile").read_text().splitlines()
    course, given, out = tmp_path / "course", tmp_path / "in", tmp_path / "out"
    for name in [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, (course.mkdir(exist_ok=True) or course) / name)
    given.mkdir()
    (given / "03_algorithms.ipynb").write_text("{")
    start = json.loads(next(line for line in lines if line.startswith("ENTRYPOINT")).removeprefix("ENTRYPOINT "))
    command = json.loads(next(line for line in lines if line.startswith("CMD")).removeprefix("CMD "))
    assert start[0] == "/course/.venv/bin/python"
    places = {"/in": str(given), "/out": str(out)}
    subprocess.run([sys.executable, *start[1:], *(places.get(word, word) for word in command)], cwd=course, check=True,
                   env=os.environ | {"PYTHONPATH": str(course)}, capture_output=True, timeout=120)
    row, = csv.DictReader((out / "grades.csv").open())
    assert (row["state"], row["notebook"]) == ("not gradable", "03_algorithms") and float(row["max_points"]) > 0
