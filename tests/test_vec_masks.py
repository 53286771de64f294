"""Action masks reach the caller of every backend, for the rows it holds, after a reset and after each step."""

import numpy as np
import pytest
from gymnasium.spaces import Discrete, MultiDiscrete
from vectorizer_environments import Counter

import envs
from puffer_min.env.spec import EnvSpec
from puffer_min.vector import make_vec

BACKENDS = [("serial", 1), ("thread", 2), ("thread", 4), ("process", 2), ("process", 4)]


class Forbidding(Counter):
    """Allows the actions that are equal to the number of steps so far, modulo 5, plus the agent's number."""

    def __init__(self, sizes=(5,), num_agents=2, **base):
        super().__init__(num_agents=num_agents, **base)
        self.single_action_space = Discrete(sizes[0]) if len(sizes) == 1 else MultiDiscrete(sizes)
        self.columns = sum(sizes)
        super(Counter, self).__init__(**base)

    def step(self, actions):
        self.begin_step(actions)
        self.count += 1
        self.observations[:, 1] = self.count
        self.terminals[:] = self.count % 7 == 0
        return self.finish_step()

    def action_masks(self):
        masks = np.zeros((self.num_agents, self.columns), bool)
        masks[range(self.num_agents), (self.count + np.arange(self.num_agents)) % self.columns] = True
        return masks


def expected(counts, columns=5, agents=2):
    """Masks of environments that have made `counts` steps."""
    return np.concatenate([np.eye(columns, dtype=bool)[(count + np.arange(agents)) % columns] for count in counts])


@pytest.mark.parametrize("backend, workers", BACKENDS)
@pytest.mark.parametrize("sizes", [(5,), (2, 3, 4)])
def test_masks_of_python_environments_are_those_of_the_last_step(backend, workers, sizes):
    with make_vec(Forbidding, 4, workers, backend, sizes=sizes) as vec:
        assert EnvSpec.of(vec).masks_actions
        for _ in range(2):
            vec.reset(0)
            for t in range(9):
                masks = vec.action_masks()
                assert masks.dtype == bool and np.array_equal(masks, expected([t] * 4, sum(sizes)))
                vec.step(np.zeros_like(vec.actions))


@pytest.mark.parametrize("name", ["connect4", "triple_triad"])
@pytest.mark.parametrize("backend, workers", BACKENDS)
def test_masks_of_native_environments_are_those_of_the_bare_environment(backend, workers, name):
    bare, random = envs.make(name, 4, seed=3), np.random.default_rng(0)
    with make_vec(name, 4, workers, backend, seed=3, report_interval=5) as vec:
        bare.reset()
        vec.reset()
        for _ in range(60):
            masks = bare.action_masks()
            assert np.array_equal(vec.action_masks(), masks) and masks.any(1).all()
            actions = (random.random(masks.shape) * masks).argmax(1).astype(np.int32)
            results, others = bare.step(actions), vec.step(actions)
            assert all(np.array_equal(one, other) for one, other in zip(results[:4], others[:4], strict=True))


@pytest.mark.parametrize("backend, workers, batch_envs", [("serial", 1, None), ("thread", 4, 1), ("thread", 4, 2), ("process", 4, 1),
                                                          ("process", 4, 2)])
def test_received_masks_are_those_of_the_received_rows(backend, workers, batch_envs):
    with make_vec(Forbidding, 4, workers, backend, batch_envs=batch_envs) as vec:
        counts = np.full(4, -1)
        vec.async_reset(0)
        for _ in range(40):
            received = vec.recv()
            held = np.unique(np.arange(vec.num_agents)[received.rows] // 2)
            counts[held] += 1
            assert np.array_equal(received.action_masks, expected(counts[held]))
            assert np.array_equal(vec.action_masks()[received.rows], received.action_masks)
            vec.send(np.zeros(len(received.rewards), np.int32))


@pytest.mark.parametrize("backend, workers", BACKENDS)
def test_environments_without_masks_have_none(backend, workers):
    with make_vec(Counter, 4, workers, backend) as vec:
        assert not EnvSpec.of(vec).masks_actions
        vec.async_reset(0)
        assert vec.recv().action_masks is None
        with pytest.raises(AttributeError, match="action_masks"):
            vec.action_masks()


@pytest.mark.parametrize("backend, workers", BACKENDS)
def test_masks_come_back_with_a_saved_state(backend, workers):
    with make_vec(Forbidding, 4, workers, backend) as vec, make_vec(Forbidding, 4, workers, backend) as other:
        vec.reset(0)
        for _ in range(3):
            vec.step(np.zeros_like(vec.actions))
        other.set_state(vec.get_state())
        assert np.array_equal(other.action_masks(), expected([3] * 4))


@pytest.mark.parametrize("backend", ["serial", "thread", "process"])
@pytest.mark.parametrize("masks, given", [(np.ones((2, 4), bool), r"bool \(2, 4\)"), (np.ones((2, 5), int), r"int64 \(2, 5\)"),
                                          (np.ones(5, bool), r"bool \(5,\)"), ([[True] * 5] * 2, "list")])
def test_masks_of_another_shape_or_dtype_are_refused_at_the_reset(masks, given, backend):
    class Wrong(Forbidding):
        def action_masks(self):
            return masks

    with pytest.raises(TypeError, match=f"Wrong.action_masks gave {given}, expected bool \\(2, 5\\): a row for each agent"):
        with make_vec(Wrong, 2, backend=backend) as vec:
            vec.reset(0)
