"""The rollout buffer against a model of it in plain lists: whoever is alive, every step is somewhere once, in order, beside its own."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from test_advantage import reference

from puffer_min.learner.buffer import RolloutBuffer
from puffer_min.learner.config import Config

SPACES = spaces.Box(-1e9, 1e9, (2,), np.float32), spaces.Discrete(1_000_000)


def make(num_agents, segments, horizon, **settings_):
    return RolloutBuffer(num_agents, segments, horizon, *SPACES, **settings_)


class Play:
    """Drives a buffer with recognisable data: agent a's n-th step is observed as (a, n), and everything else is computed from that."""

    def __init__(self, buffer, seed=0):
        self.buffer, self.random = buffer, np.random.default_rng(seed)
        self.count = np.zeros(buffer.num_agents, int)               # steps each agent has lived
        self.history = [[] for _ in range(buffer.num_agents)]

    def value_of(self, agents):
        """What the critic says of an agent's present observation."""
        return torch.tensor([1000.0 * a + self.count[a] for a in agents], dtype=torch.float32)

    def step(self, alive=None):
        buffer, n = self.buffer, self.buffer.num_agents
        masks = np.ones(n, bool) if alive is None else alive
        agents = torch.arange(n)
        observations = torch.stack([agents.float(), torch.from_numpy(self.count).float()], 1)
        actions = torch.from_numpy(self.random.integers(0, 1_000_000, n))
        buffer.record_decision(observations, actions, actions / 7, self.value_of(range(n)), masks)
        rewards = self.random.normal(size=n).astype(np.float32)
        terminals, truncations = self.random.random((2, n)) < 0.2
        final = self.random.normal(size=(n, 2)).astype(np.float32)
        buffer.record_outcome(rewards, terminals, truncations, final)
        for a in np.flatnonzero(masks):
            cut = truncations[a] and not terminals[a]
            lived = self.count[a], int(actions[a]), rewards[a], terminals[a], truncations[a], final[a].sum() if cut else None
            self.history[a].append(lived)
        self.count += masks

    def finish(self):
        self.buffer.record_next_values(self.value_of(range(self.buffer.num_agents)))
        self.buffer.record_final_values(lambda observations, states: observations.sum(1))

    def check_rows(self, rows):
        """Every given row is `horizon` neighbouring steps of one agent, exactly as they were lived; returns (agent, step) pairs."""
        buffer, seen = self.buffer, []
        for row in rows.tolist():
            agent, first = (int(x) for x in buffer.observations[row, 0])
            for t in range(buffer.horizon):
                number, action, reward, terminal, truncation, final = self.history[agent][first + t]
                assert buffer.observations[row, t].tolist() == [agent, number]
                assert (int(buffer.actions[row, t]), float(buffer.rewards[row, t])) == (action, pytest.approx(float(reward)))
                assert (bool(buffer.terminals[row, t]), bool(buffer.truncations[row, t])) == (terminal, truncation)
                assert float(buffer.values[row, t]) == 1000 * agent + number
                assert float(buffer.log_probs[row, t]) == pytest.approx(action / 7)
                if final is not None:
                    assert float(buffer.final_values[row, t]) == pytest.approx(float(final), abs=1e-6)
                seen.append((agent, number))
            assert float(buffer.next_values[row]) == 1000 * agent + first + buffer.horizon
        assert len(set(seen)) == len(seen)
        return seen


def test_the_counters_start_at_different_values():
    buffer = make(4, 4, 3)
    assert (buffer.next_free, buffer.full_rows) == (4, 0)
    assert not buffer.is_full


@pytest.mark.parametrize("num_agents, segments, horizon", [(4, 4, 3), (4, 12, 3), (1, 1, 1), (1, 5, 2), (3, 3, 1)])
def test_collection_ends_when_the_rows_are_full(num_agents, segments, horizon):
    """Also with as many agents as rows, where judging by free rows would end it before the first step (stream 001 @12,906)."""
    buffer = make(num_agents, segments, horizon)
    play = Play(buffer)
    for _ in range(3):
        steps = 0
        while not buffer.is_full:
            play.step()
            steps += 1
        assert steps == segments * horizon // num_agents
        play.finish()
        play.check_rows(buffer.trained_rows)
        assert buffer.density == 1
        buffer.recycle()
        assert (buffer.next_free, buffer.full_rows) == (num_agents, 0)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 3), st.integers(1, 5), st.integers(0, 2**32 - 1), st.floats(0, 0.9))
def test_whoever_is_alive_rows_hold_one_agents_steps_in_order(num_agents, blocks, horizon, seed, death):
    buffer = make(num_agents, blocks * num_agents, horizon)
    play, random = Play(buffer, seed), np.random.default_rng(seed)
    trained = []
    for _ in range(4):
        lived = slots = 0
        while not buffer.is_full:
            alive = random.random(num_agents) >= death
            play.step(alive)
            lived, slots = lived + alive.sum(), slots + num_agents
            assert buffer.next_free <= buffer.num_rows and buffer.full_rows <= buffer.num_rows
        assert buffer.density == pytest.approx(lived / slots)
        play.finish()
        trained += play.check_rows(buffer.trained_rows)
        buffer.recycle()
    assert len(set(trained)) == len(trained), "a step was learned from twice"
    begun = sum(int(c) for c in buffer.column_of) if not buffer.aligned else 0
    waiting = len(play.check_rows(buffer.filled[:buffer.full_rows]))
    assert len(trained) + begun + waiting == play.count.sum(), "a step was lost"


def test_a_dead_agent_leaves_no_trace_and_loses_nothing():
    buffer = make(2, 2, 3)
    play = Play(buffer)
    alive = np.array([True, True])
    play.step(alive)
    for _ in range(4):
        play.step(np.array([True, False]))
    assert buffer.full_rows == 1 and not buffer.is_full
    play.step(alive)
    assert buffer.is_full and buffer.trained_rows.tolist() == [0, 2], "agent 0 filled two rows while agent 1 was away"
    play.finish()
    buffer.recycle()
    play.step(alive)
    assert buffer.full_rows == 1 and buffer.filled[0] == 1, "agent 1's row went on where it stood"


def played_rows():
    """A buffer of six full rows, and by name the tables from which their advantages are reckoned."""
    buffer = make(3, 6, 4)
    play = Play(buffer, 1)
    while not buffer.is_full:
        play.step()
    play.finish()
    names = ("rewards", "values", "terminals", "truncations", "final_values", "next_values")
    return buffer, {name: getattr(buffer, name)[:6].numpy() for name in names}


def test_estimate_uses_the_value_after_each_row_and_the_final_values():
    buffer, tables = played_rows()
    buffer.estimate(0.9, 0.8)
    np.testing.assert_allclose(buffer.advantages[:6], reference(*tables.values(), gamma=0.9, gae_lambda=0.8)[0], rtol=1e-4, atol=1e-3)


def test_until_reward_credits_nothing_beyond_a_reward():
    buffer, tables = played_rows()
    tables["rewards"] *= np.random.default_rng(3).random((6, 4)) < 0.5             # views: the buffer's own rewards
    buffer.estimate(0.9, 0.8, until_reward=True)
    ends = tables["terminals"].copy()
    assert (tables["rewards"] != 0).any() and (tables["rewards"] == 0).any()
    tables["terminals"] = ends | (tables["rewards"] != 0)
    np.testing.assert_allclose(buffer.advantages[:6], reference(*tables.values(), gamma=0.9, gae_lambda=0.8)[0], rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(buffer.terminals[:6], ends, "a policy's memory must not end with a reward")


def test_gather_gives_whole_rows_flat_and_in_order():
    buffer = make(3, 3, 4)
    play = Play(buffer)
    while not buffer.is_full:
        play.step()
    batch = buffer.gather(torch.tensor([2, 0]))
    assert batch.observations[:, 0].tolist() == [2] * 4 + [0] * 4
    assert batch.observations[:, 1].tolist() == [0, 1, 2, 3] * 2
    assert batch.ends.tolist() == (buffer.terminals | buffer.truncations)[[2, 0]].tolist()


@pytest.mark.parametrize("dead", [False, True])
def test_the_state_at_the_start_of_each_row_is_kept(dead):
    buffer = make(2, 4, 3, state_size=1)
    for step in range(6):
        masks = np.array([True, not dead or step != 1])
        states = torch.tensor([[10.0 + step], [20.0 + step]])
        buffer.record_decision(torch.zeros(2, 2), torch.zeros(2, dtype=torch.int64), torch.zeros(2), torch.zeros(2), masks, states)
        buffer.record_outcome(np.zeros(2, np.float32), np.zeros(2, bool), np.zeros(2, bool))
    assert buffer.states[buffer.filled[:buffer.full_rows]].flatten().tolist() == ([10, 20, 13] if dead else [10, 20, 13, 23])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.8))
def test_a_restored_buffer_goes_on_exactly(seed, death):
    first, second = make(3, 3, 4), make(3, 3, 4)
    play = Play(first, seed)
    random = np.random.default_rng(seed)
    while not first.is_full:
        play.step(random.random(3) >= death)
    play.finish()
    first.recycle()
    second.set_state(first.get_state())
    ends = []
    for buffer in (first, second):
        again = Play(buffer, seed + 1)
        again.history, again.count = [list(h) for h in play.history], play.count.copy()
        chance = np.random.default_rng(seed + 1)
        while not buffer.is_full:
            again.step(chance.random(3) >= death)
        again.finish()
        again.check_rows(buffer.trained_rows)
        ends.append((buffer.trained_rows.tolist(), buffer.rewards[buffer.trained_rows].tolist()))
    assert ends[0] == ends[1]


def test_observations_stay_in_the_environments_dtype():
    buffer = RolloutBuffer(2, 2, 3, spaces.Box(0, 255, (4, 4, 3), np.uint8), spaces.Box(-1, 1, (2,)))
    assert buffer.observations.dtype == torch.uint8 and buffer.observations.shape[1:] == (3, 4, 4, 3)
    assert buffer.actions.dtype == torch.float32 and buffer.actions.shape[1:] == (3, 2)


@pytest.mark.parametrize("settings_, message", [
    ({"horizon": 32, "batch_size": 5000}, r"batch_size=5000 is not a multiple of 100 agents x horizon 32 = 3200.*take 3200 or 6400"),
    ({"horizon": 32, "minibatch_size": 1000}, r"minibatch_size=1000 is not a multiple of horizon=32.*take 992"),
    ({"horizon": 32, "batch_size": 6400, "minibatch_size": 2560},
     r"batch_size=6400 \(100 agents x horizon 32 x 2\) does not divide into minibatches of 2560: take minibatch_size=1600"),
])
def test_sizes_that_do_not_divide_say_what_would(settings_, message):
    with pytest.raises(ValueError, match=message):
        Config(**settings_).rows(100)


def test_sizes_that_divide_give_rows():
    assert Config(horizon=32, batch_size=6400, minibatch_size=1600).rows(100) == (200, 50)
    assert Config(horizon=16).rows(8) == (8, 8), "a minibatch is never more than the batch"


def test_a_rollout_that_takes_more_memory_than_is_free_is_refused_by_its_size():
    with pytest.raises(ValueError, match=r"^1,048,576 rows of horizon=1,048,576 steps take [\d,.]+ GiB, expected at most the .* that are free; "
                                         "take fewer environments or a smaller horizon$"):
        RolloutBuffer(2**20, 2**20, 2**20, *SPACES)
