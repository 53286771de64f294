"""Chapter 5 and its checks say what the package does: shown sources, rules that the package's own parts keep, and the form of its prose."""

import json
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import puffer_min
from puffer_min.course.check import CheckFailed, check
from puffer_min.course.checks import level05
from puffer_min.env.puffer_env import PufferEnv
from puffer_min.vector import seed_of
from puffer_min.vector.shared_memory import Layout

ROOT = Path(__file__).resolve().parents[1]
CELLS = json.loads((ROOT / "chapters" / "05_vectorization.ipynb").read_text())["cells"]
CODE = {cell["id"]: cell for cell in CELLS if cell["cell_type"] == "code"}
ANSWERS = {cell["id"]: "".join(cell["source"])
           for cell in json.loads((ROOT / "solutions" / "05_vectorization.ipynb").read_text())["cells"] if cell["id"].endswith("-answer")}


def source_of(cell):
    return "".join(cell["source"])


def answer(name):
    """The function that the solutions give for an exercise."""
    names = {"np": np}
    exec(ANSWERS[f"{name}-answer"], names)
    return names[name]


def test_the_wait_that_the_chapter_shows_is_the_packages():
    shown = "".join(CODE["wait-source"]["outputs"][0]["data"]["text/markdown"])
    code = textwrap.dedent(shown.removeprefix("```c\n").removesuffix("```")).strip()
    assert code.startswith("static int puffer_wait(") and "sched_yield" in code and code.endswith("}")
    inside = (ROOT / "puffer_min" / "vector" / "waiting.pxd").read_text().split("cdef extern")[1].split('"""')[1]
    assert code in textwrap.dedent(inside), "run the chapter again"


def test_the_last_cell_of_code_asserts_that_nothing_is_left_behind():
    last = source_of(next(cell for cell in reversed(CELLS) if cell["cell_type"] == "code"))
    assert "active_children" in last and "assert" in last and "running" in last


def test_the_packages_layout_passes_the_check_of_shared_layout(capsys):
    check("shared_layout", lambda block, shapes: Layout(shapes).arrays(block), seed=3)
    assert "right" in capsys.readouterr().out


def test_the_packages_seeds_pass_the_check_of_env_seeds(capsys):
    check("env_seeds", lambda seed, first, count: [seed_of(seed, first + i) for i in range(count)], seed=3)
    assert "right" in capsys.readouterr().out


class Pushed(PufferEnv):
    """A number that the action pushes; rewards say where it stood and what was done."""

    def __init__(self, **base):
        self.single_observation_space, self.single_action_space = Box(-np.inf, np.inf, (1,), np.float64), Discrete(5)
        self.num_agents = 1
        super().__init__(**base)

    def reset(self, seed=None):
        self.begin_reset(seed)
        self.observations[0] = self.random.random()
        return self.observations, []

    def step(self, actions):
        self.begin_step(actions)
        self.rewards[0] = self.observations[0, 0] + self.actions[0]
        self.observations[0] = self.observations[0] + self.random.random() + self.actions[0]
        return self.finish_step()


def collected_by(answer, steps, **vectorizer):
    """The tables that `answer` collects from the package's vectorizer over six environments."""
    with puffer_min.make_vec(Pushed, 6, report_interval=0, **vectorizer) as vec:
        vec.async_reset(seed=5)

        def recv():
            batch = vec.recv()
            return SimpleNamespace(rows=np.arange(6)[batch.rows], observations=batch.observations[:, 0], rewards=batch.rewards)

        return answer(SimpleNamespace(num_envs=6, recv=recv, send=vec.send), level05.acted, steps)


@pytest.mark.parametrize("backend", ["process", "thread"])
def test_the_answer_of_first_ready_collects_the_serial_trajectories_from_any_backend(backend):
    first_ready = answer("first_ready")
    expected = collected_by(first_ready, 30)
    found = collected_by(first_ready, 30, backend=backend, num_workers=3, batch_envs=2)
    for ours, theirs in zip(found, expected, strict=False):
        assert np.array_equal(ours, theirs)
    observations, actions, rewards, last = found
    assert np.allclose(rewards, observations + actions)
    assert (last > observations[-1] + actions[-1]).all()                # the number goes on from the last row, pushed and a little more


def test_a_wait_without_end_is_cut_off_and_named():
    def wait_for(done, process, timeout):
        while not done():
            pass

    with pytest.raises(CheckFailed, match="waits for ever"):
        check("wait_for", wait_for)


def test_a_wait_may_not_sleep_for_a_negative_time():
    def wait_for(done, process, timeout):
        while not done():
            time.sleep(-0.5)

    with pytest.raises(CheckFailed, match="raises ValueError for a worker that finishes in time"):
        check("wait_for", wait_for)


def test_one_look_at_three_workers_hardly_ever_finds_the_order():
    def culprit(make):
        one, many = make(1), make(3)
        one.reset(5)
        first = many.reset(5)
        kept = first.copy()
        if len(set(first)) < len(first):
            return "seeds"
        if not np.array_equal(one.step(kept)[0], many.step(kept)[0]):
            return "order"
        return "healthy" if np.array_equal(first, kept) else "views"

    passed = 0
    for seed in range(60):
        try:
            check("collector_culprit", culprit, hidden=True, seed=seed)
            passed += 1
        except CheckFailed:
            pass
    assert passed <= 3


def test_a_hand_off_that_stands_still_is_named():
    with pytest.raises(CheckFailed, match="ticket"):
        check("handoff_word", lambda words, action: None, lambda words, seen, step: seen, lambda words: None)


def test_collecting_without_end_is_cut_off_and_named():
    def first_ready(vec, act, steps):
        while True:
            vec.send(act(vec.recv().observations))

    with pytest.raises(CheckFailed, match="goes on for ever"):
        check("first_ready", first_ready)
