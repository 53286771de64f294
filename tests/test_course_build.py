"""`build`: fresh modules, one clear error, nothing half-written."""

import os
import pickle
import subprocess
import sys
import textwrap
import traceback
from pathlib import Path

import numpy as np
import pytest

import envs
from puffer_min.course import CompileError, build
from puffer_min.course import build as build_function
from puffer_min.course.build import made_by
from puffer_min.course.compiler import cache_folder, prune
from puffer_min.course.translate import translate
from puffer_min.course.views import shared_views

builder = sys.modules["puffer_min.course.build"]
ROOT = Path(__file__).resolve().parents[1]

COUNTER = """
seen = []

def count(int x):
    seen.append(x)
    return len(seen)

class Plain:
    pass
"""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache of its own, so that the first build of each source is a real one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUFFER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def no_compiler(monkeypatch):
    """Whoever compiles from here on fails the test."""
    def refuse(*_):
        raise AssertionError("the C compiler was called")
    monkeypatch.setattr(builder, "compile_c", refuse)


@pytest.fixture(scope="module")
def counter():
    return build(COUNTER)


def test_build_returns_a_module_that_computes(counter):
    assert counter.count(5) == len(counter.seen)


def test_a_second_build_needs_no_compiler_and_shares_nothing_with_the_first(counter, no_compiler):
    counter.count(1)
    second = build(COUNTER)
    assert second is not counter and second.seen == [] and counter.seen
    assert second.count(2) == 1 and second.__build__.cached


def test_another_process_needs_no_compiler_either(counter):
    code = f"from puffer_min.course import build; print(build({COUNTER!r}).__build__.cached)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["True"], done.stderr


def test_an_edited_file_is_another_module_in_the_same_process(tmp_path):
    path = tmp_path / "rule.pyx"
    path.write_text("def rule(int x):\n    return x + 1\n")
    old = build(path)
    path.write_text("def rule(int x):\n    return x + 2\n")
    new = build(path)
    assert (old.rule(1), new.rule(1)) == (2, 3)
    assert old.__name__ != new.__name__ and new.__name__.startswith("rule_")


def test_an_edited_pxd_beside_the_source_makes_a_new_module(tmp_path):
    (tmp_path / "rule.pyx").write_text("cimport constants\ndef rule():\n    return constants.CELLS\n")
    (tmp_path / "constants.pxd").write_text("cdef enum:\n    CELLS = 3\n")
    assert build(tmp_path / "rule.pyx").rule() == 3
    (tmp_path / "constants.pxd").write_text("cdef enum:\n    CELLS = 4\n")
    assert build(tmp_path / "rule.pyx").rule() == 4


def test_a_pxd_of_the_same_name_augments_the_source(tmp_path):
    (tmp_path / "point.pyx").write_text("cdef class Point:\n    def __init__(self):\n        self.x = 7\n")
    (tmp_path / "point.pxd").write_text("cdef class Point:\n    cdef public int x\n")
    assert build(tmp_path / "point.pyx").Point().x == 7


def test_an_environment_built_from_its_source_is_the_environment():
    ours, theirs = build("envs/squared.pyx").Squared(8, seed=3), envs.make("squared", 8, seed=3)
    assert type(ours).__module__ != type(theirs).__module__
    rng = np.random.default_rng(0)
    assert np.array_equal(ours.reset()[0], theirs.reset()[0])
    for _ in range(100):
        actions = rng.integers(0, 5, 8).astype(np.int32)
        for a, b in zip(ours.step(actions)[:4], theirs.step(actions)[:4], strict=False):
            assert np.array_equal(a, b)


def test_a_debug_build_checks_what_a_release_build_does_not():
    source = "\ndef last(list row, int i):\n    return row[i]\n"
    with pytest.raises(IndexError):
        build(source, debug=True).last([0, 1, 2], 3)
    made = made_by(build(source, debug=False, directives={"wraparound": True}))
    assert made.label == "release" and made.directives["wraparound"] and not made.directives["boundscheck"]


def test_modules_share_the_code_of_memoryviews_and_exchange_views():
    first = build("\ndef first(float[:, ::1] rows):\n    return rows[1]\n")
    second = build("\ndef second(float[::1] row):\n    row[2] = 7\n    return row.shape[0]\n")
    rows = np.zeros((2, 3), np.float32)
    assert second.second(first.first(rows)) == 3 and rows[1, 2] == 7
    with pytest.raises(ValueError, match="Buffer dtype mismatch"):
        first.first(rows.astype(float))
    assert len([name for name in sys.modules if name.startswith("cython_views_")]) == 1


def test_a_memoryview_gives_the_c_compiler_little_to_do():
    source, path = "\ndef f(float[:, ::1] rows):\n    return rows[0, 0]\n", Path("cell.pyx")
    alone, shared = (translate(source, path, "cell", {}, views=views) for views in (None, shared_views()))
    assert len(shared.c_code) < len(alone.c_code) / 3


def test_cythons_error_is_one_sentence_with_the_place():
    with pytest.raises(CompileError) as caught:
        build("\ndef f(int x):\n    return x + missing\n")
    sentence, *place = str(caught.value).splitlines()
    assert sentence == "cell.pyx, line 3: undeclared name not builtin: missing"
    assert "> 3 |     return x + missing" in place
    assert place[place.index("> 3 |     return x + missing") + 1].index("^") == "> 3 |     return x + missing".index("missing")


def test_several_errors_are_counted_and_the_first_is_shown():
    with pytest.raises(CompileError, match=r"line 3: undeclared name not builtin: a \(and 1 more, on line 5\)"):
        build("\ndef f():\n    return a\ndef g():\n    return b\n")


def test_a_syntax_error_names_the_line():
    with pytest.raises(CompileError, match=r"cell.pyx, line 2: Expected '\)', found ':'"):
        build("\ndef f(:\n    pass\n")


def test_an_error_in_a_pxd_names_that_file(tmp_path):
    (tmp_path / "rule.pyx").write_text("cimport broken\ndef f():\n    return 1\n")
    (tmp_path / "broken.pxd").write_text("cdef enum:\n    A = 1\ncdef strict x\n")
    with pytest.raises(CompileError, match="broken.pxd, line 3: .*strict.*"):
        build(tmp_path / "rule.pyx")


def test_an_error_of_the_c_compiler_is_one_sentence():
    source = '\ncdef extern from *:\n    """\n    static int f(int x) { return y; }\n    """\n    int f(int x)\ndef g():\n    return f(3)\n'
    with pytest.raises(CompileError, match=r"^the C compiler refused the C that Cython wrote; line \d+ of it: .*y"):
        build(source)


def test_a_missing_compiler_is_named_with_the_cure(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(CompileError, match="there is no C compiler 'no-such-compiler'.*apt-get install gcc"):
        build("\ndef f():\n    return 'without a compiler'\n")


def test_a_failed_build_leaves_nothing_but_its_source():
    before = set(cache_folder().iterdir())
    for source in ("\ndef f(:\n", '\ncdef extern from *:\n    """\n    oops\n    """\ndef g():\n    return 1\n'):
        with pytest.raises(CompileError):
            build(source, name="failing")
    for folder in set(cache_folder().iterdir()) - before:
        assert {path.suffix for path in folder.iterdir()} <= {".pyx", ".json"}


def test_many_processes_may_build_the_same_source_at_once():
    source = "\ndef which():\n    return 'built by many'\n"
    code = f"from puffer_min.course import build; print(build({source!r}, name='many').which())"
    running = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
               for _ in range(3)]
    for process in running:
        out, err = process.communicate(timeout=120)
        assert out.strip() == "built by many", err
    (folder,) = cache_folder().glob("many_*")
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".pyx", ".so"]


def test_a_traceback_shows_the_line_of_the_source():
    module = build("\ndef f(x):\n    return x.missing\n")
    try:
        module.f(1)
    except AttributeError as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
    assert (frame.lineno, frame.line) == (3, "return x.missing")


def test_an_error_of_the_modules_body_leaves_no_module_behind():
    with pytest.raises(ZeroDivisionError):
        build("\nzero = 0\nx = 1 % zero\n", name="body")
    assert not [name for name in sys.modules if name.startswith("body_")]


def test_classes_of_the_latest_build_can_be_pickled():
    latest = build(COUNTER)
    assert isinstance(pickle.loads(pickle.dumps(latest.Plain())), latest.Plain)


def test_made_by_finds_the_build_of_functions_classes_objects_and_modules(counter):
    for thing in (counter, counter.count, counter.Plain, counter.Plain()):
        assert made_by(thing).name == counter.__name__
    assert made_by(np.mean) is None and made_by(3) is None


def test_a_source_that_is_none_is_refused():
    with pytest.raises(ValueError, match="source: given 'squared', expected a path that ends in .pyx"):
        build("squared")
    with pytest.raises(FileNotFoundError, match="no file 'nowhere.pyx'"):
        build("nowhere.pyx")
    with pytest.raises(ValueError, match="'boundchek', which Cython does not know; did you mean 'boundscheck'"):
        build("\ndef f():\n    return 1\n", directives={"boundchek": True})


def test_the_exported_name_stays_the_function():
    import puffer_min.course.build  # noqa: F401
    assert puffer_min.course.build is build_function


def test_prune_deletes_only_what_nobody_used(tmp_path, monkeypatch):
    monkeypatch.setenv("PUFFER_CACHE", str(tmp_path))
    old, used = (build(f"\nnumber = {n}\n").__build__.path.parent for n in range(2))
    os.utime(old, (0, 0))
    assert prune(days=30) == 1 and not old.exists() and used.exists()


def test_importing_the_tools_brings_no_heavy_package():
    code = textwrap.dedent("""
        import sys, puffer_min.course
        heavy = {"matplotlib", "torch", "IPython", "Cython", "ipywidgets", "anywidget", "line_profiler"}
        print(sorted(heavy & set(sys.modules)))
    """)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


# ---------------------------------------------------------------------- encodings, and what is not C

ACCENTED = "# coding: latin-1\ndef greet():\n    return 'café'\n"


def test_a_source_in_another_encoding_is_read_as_it_declares(tmp_path):
    path = tmp_path / "greet.pyx"
    path.write_bytes(ACCENTED.encode("latin-1"))
    assert build(path).greet() == "café" == build(ACCENTED).greet()
    with pytest.raises(CompileError, match="greet.pyx, line 3: .*\n(.*\n)*.*café"):
        path.write_bytes((ACCENTED + "café +\n").replace("    return", "    retrun").encode("latin-1"))
        build(path)


@pytest.mark.parametrize("content, sentence", [
    (b"# first\ndef f():\n    return '\xe9'\n", "bad.pyx, line 3: byte 0xe9 is not utf-8: save the file as UTF-8, or declare"),
    (b"# coding: klingon\nx = 1\n", "bad.pyx declares the encoding 'klingon', which Python does not know"),
])
def test_bytes_of_no_known_encoding_are_one_sentence(tmp_path, content, sentence):
    (tmp_path / "bad.pyx").write_bytes(content)
    with pytest.raises(CompileError, match=sentence):
        build(tmp_path / "bad.pyx")


@pytest.mark.parametrize("source, sentence", [
    ("# distutils: language = c++\nfrom libcpp.vector cimport vector\n", r"cell.pyx, line 1: the source asks for C\+\+, and .* compile C"),
    ("x = 1\nfrom libcpp.vector cimport vector\n", r"cell.pyx, line 2: libcpp is C\+\+'s library"),
    ("# first\n#distutils: extra_compile_args = -fopenmp\nx = 1\n", "line 2: `distutils: extra_compile_args = -fopenmp` is for setuptools"),
])
def test_what_asks_for_another_compiler_is_refused_before_it_runs(no_compiler, source, sentence):
    with pytest.raises(CompileError, match=sentence):
        build(source)


def test_a_comment_about_distutils_below_the_first_statement_is_a_comment():
    assert build("x = 1\n# distutils: language = c++\n").x == 1
