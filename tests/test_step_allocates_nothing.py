"""A step takes no memory: not in the C of what runs at every step, and not while it runs.

Read: the C of every function declared `noexcept nogil` (`step_range` is one by the base's declaration) calls nothing that allocates.
Counted: over many steps, ends of episodes among them, the blocks of Python and the bytes of the C library's heap stay what they were.
"""

import ctypes
import gc
import re
import sys

import environments
import numpy as np
import pytest
from environments import make, random_actions
from test_hot_loops import ROOT, SOURCES, hot_functions, read, read_source

from puffer_min.course.build import build

ALLOCATES = re.compile(r"\b(malloc|calloc|realloc|aligned_alloc|posix_memalign|memalign|strdup|free|mmap|PyMem_\w*(?:Malloc|Calloc|Realloc|New)"
                       r"|PyObject_(?:Malloc|Calloc|Realloc|New)|PyArray_(?:Zeros|Empty|SimpleNew\w*|NewCopy))\s*\(")


def takings(path_or_source) -> list[str]:
    """What the hot functions of a source do to allocate, a sentence each; those of the .pxd files that it uses are among its C."""
    notes, c_code = read_source(path_or_source) if isinstance(path_or_source, str) else read(path_or_source)
    found = [f"{name}, line {line.number} calls {call}: {line.text.strip()}" for name in hot_functions(notes)
             for line in notes.lines[notes.function(name).body - 1:notes.function(name).last] for call in ALLOCATES.findall(line.c)]
    for name, body in re.findall(r"^static [^;{\n]*__pyx_f_\w*?_([a-z]\w*)\([^;{]*\) \{\n(.*?)^\}$", c_code, re.M | re.S):
        is_of_a_pxd = re.search(r'/\* "[\w./]*\.pxd":', body)
        found += [f"{name} of a .pxd calls {call}" for call in ALLOCATES.findall(re.sub(r"/\*.*?\*/", "", body, flags=re.S)) if is_of_a_pxd]
    return found


@pytest.mark.parametrize("source", [source for source in SOURCES if source.startswith("envs/")])
def test_nothing_that_is_called_at_every_step_allocates(source):
    assert takings(source) == []


class Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]


def bytes_of_the_heap() -> int | None:
    """Bytes in use that malloc gave out, mapped ones included; None where the C library does not tell."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except (OSError, AttributeError):
        return None
    mallinfo2.restype = Mallinfo2
    info = mallinfo2()
    return info.uordblks + info.hblkhd


def growth(env, steps: int) -> tuple[int, int]:
    """Blocks of Python and bytes of the heap that `steps` steps leave behind."""
    random = np.random.RandomState(0)
    ring = [random_actions(env, random) for _ in range(16)]
    env.reset(seed=0)
    for k in range(300):                                        # whatever is made once
        env.step(ring[k % 16])
    gc.collect()
    gc.disable()
    try:
        found = []
        for batch in (1, steps, 1):                             # the first and last measure the measuring
            for k in range(batch):
                env.step(ring[k % 16])
            found.append((sys.getallocatedblocks(), bytes_of_the_heap() or 0))
    finally:
        gc.enable()
    return found[1][0] - found[0][0], found[1][1] - found[0][1]


@pytest.mark.parametrize("name", environments.names())
def test_ten_thousand_steps_leave_no_memory_behind(name):
    blocks, heap = growth(make(name), 10_000)
    assert abs(blocks) < 50 and abs(heap) < 20_000, f"{blocks} blocks and {heap} bytes more after 10,000 steps"


# ---------------------------------------------------------------------- it notices

@pytest.fixture
def squared_with(tmp_path):
    """`squared` with a line more in its loop over the environments: the path of its source."""
    def change(line):
        source = (ROOT / "envs" / "squared.pyx").read_text()
        old = "            square = &self.squares[i]\n"
        assert source.count(old) == 1
        path = tmp_path / "squared.pyx"
        path.write_text(source.replace("from libc.string", "from libc.stdlib cimport free, malloc\nfrom libc.string", 1).replace(old, f"{old}            {line}\n"))
        return path
    return change


def test_memory_that_is_taken_and_given_back_in_a_step_is_read(squared_with):
    assert any("calls malloc" in taking for taking in takings(squared_with("free(malloc(64))")))


def test_memory_that_a_step_keeps_is_counted(squared_with):
    keeps = build(squared_with("cells += <int> (<size_t> malloc(64) >> 63)"))          # adds 0, which the compiler cannot know
    _, heap = growth(keeps.Squared(3), 10_000)
    assert heap > 10_000 * 64 or bytes_of_the_heap() is None
