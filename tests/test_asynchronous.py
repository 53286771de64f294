"""Collection first come, first served: whoever is ready when, every row holds one agent's steps, whole and in order."""

import multiprocessing
import signal
import time

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

from puffer_min.commands.train import train
from puffer_min.env.puffer_env import PufferEnv
from puffer_min.learner.asynchronous import AsynchronousPPO
from puffer_min.learner.config import Config
from puffer_min.learner.presets import settings_for
from puffer_min.vector import make_vec

SMALL = Config(num_envs=8, horizon=8, minibatch_size=64, learning_rate=0.01, hidden_size=16, torch_threads=1)


class Told(PufferEnv):
    """Shows who it is (0 to 1), the step of the episode, the last action, and whether its second agent lives; pays 1 for action 2.

    Steps take up to 2 ms, differently in every environment. Episodes end after 6 to 10 steps, by time in every second environment.
    """

    single_observation_space, single_action_space, num_agents, truncates = Box(0, 20, (4,), np.float32), Discrete(3), 2, True

    def reset(self, seed=None):
        self.begin_reset(seed)
        self.who, self.time, self.lazy = self.random.random(), 0, self.random.integers(1, 20)
        self.look([0, 0])
        return self.observations, []

    def look(self, actions):
        self.masks[1] = self.time != 3                          # the second is away for a step of every episode
        self.observations[:] = [[self.who, self.time, action, self.masks[1]] for action in actions]

    def step(self, actions):
        self.begin_step(actions)
        if self.random.random() < 0.3:
            time.sleep(1e-4 * self.lazy)
        self.time += 1
        self.rewards[:] = (self.actions == 2) * self.masks
        self.look(self.actions)
        if self.time == 6 + self.lazy % 5:
            (self.truncations if self.lazy % 2 else self.terminals)[:] = True
            self.final_observations[:] = self.observations
            self.time = 0
            self.look([0, 0])
        return self.finish_step()


def learner(backend="process", seed=0, num_envs=8, make=Told, **settings):
    vec = make_vec(make, num_envs, num_workers=num_envs // 2, backend=backend, batch_envs=num_envs // 2, seed=seed, report_interval=0)
    return AsynchronousPPO(vec, settings_for(None, SMALL, num_envs=num_envs, **settings), seed=seed)


def rows_of(learner):
    """The trained rows as a dict of arrays (segments, horizon, ...)."""
    names = ("observations", "actions", "rewards", "terminals", "truncations", "action_masks")
    return {name: getattr(learner.buffer, name)[learner.buffer.trained_rows].numpy().copy() for name in names}


@pytest.mark.parametrize("backend", ["process", "thread"])
@pytest.mark.parametrize("recurrent", [False, True])
def test_every_row_is_one_agents_steps_in_order_with_what_came_of_them(backend, recurrent):
    asynchronous, seen = learner(backend, recurrent=recurrent), 0
    with asynchronous.env:
        for _ in range(12):
            asynchronous.collect()
            rows = rows_of(asynchronous)
            who, time_of, last_action = (rows["observations"][..., i] for i in range(3))
            ends = rows["terminals"] | rows["truncations"]
            assert (who == who[:, :1]).all(), "a row holds the steps of several environments"
            assert np.array_equal(rows["rewards"], rows["actions"] == 2), "the reward is not that of the action beside it"
            assert (time_of[:, 1:][ends[:, :-1]] == 0).all() and (time_of[:, 1:][~ends[:, :-1]] > 0).all()
            step = time_of[:, 1:] - time_of[:, :-1]
            goes_on = ~ends[:, :-1] & (step == 1)                       # 2 where the agent was away for a step
            assert (step[~ends[:, :-1] & ~goes_on] == 2).all()
            assert np.array_equal(last_action[:, 1:][goes_on], rows["actions"][:, :-1][goes_on])
            seen += ends.sum()
            asynchronous.estimate()
            asynchronous.update()
            asynchronous.buffer.recycle()
    assert seen > 50


@pytest.mark.parametrize("recurrent", [False, True])
def test_what_was_recorded_is_what_the_policy_says_when_it_replays_the_rows(recurrent):
    asynchronous = learner("process", learning_rate=0.0, recurrent=recurrent)
    with asynchronous.env:
        for _ in range(6):
            asynchronous.collect()
            asynchronous.estimate()
            batch = asynchronous.buffer.gather(asynchronous.buffer.trained_rows)
            with torch.no_grad():
                outputs, values = asynchronous.policy.replay(batch.observations, batch.states, batch.ends)
                log_probs, _ = asynchronous.policy.distribution.evaluate(outputs, batch.actions)
            torch.testing.assert_close(log_probs, batch.log_probs, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(values, batch.values, rtol=1e-4, atol=1e-5)
            asynchronous.buffer.recycle()


def test_the_value_after_each_row_is_that_of_the_agents_next_observation():
    asynchronous = learner("process", learning_rate=0.0)
    buffer, policy = asynchronous.buffer, asynchronous.policy
    with asynchronous.env:
        for _ in range(4):
            asynchronous.collect()
            rows = rows_of(asynchronous)
            last, ended = rows["observations"][:, -1], (rows["terminals"] | rows["truncations"])[:, -1]
            nexts = buffer.next_values[buffer.trained_rows].numpy()
            for seen, action, end, value in zip(last, rows["actions"][:, -1], ended, nexts, strict=False):
                time_then = 0.0 if end else seen[1] + 1
                if time_then == 3:
                    continue                                        # the second agent may be away, and then sees nothing of its own
                following = torch.tensor([[seen[0], time_then, 0.0 if end else float(action), float(time_then != 3)]])
                assert value == pytest.approx(policy(following)[1].item(), abs=1e-4)
            buffer.recycle()


class Choosy(Told):
    """Only one or two of the three actions are legal, as the step of the episode says."""

    def action_masks(self):
        return np.repeat([[self.time % 2 == 0, self.time % 3 == 0, True]], 2, 0)

    def step(self, actions):
        assert self.action_masks()[[0, 1], actions][self.masks].all(), "an illegal action was taken"
        return super().step(actions)


@pytest.mark.parametrize("backend", ["process", "thread"])
def test_only_legal_actions_are_taken_and_learned_from(backend):
    asynchronous = learner(backend, make=Choosy)
    with asynchronous.env:
        for _ in range(5):
            asynchronous.collect()
            rows = rows_of(asynchronous)
            steps, masks = rows["observations"][..., 1], rows["action_masks"]
            assert np.array_equal(masks[..., 0], steps % 2 == 0) and np.array_equal(masks[..., 1], steps % 3 == 0)
            assert np.take_along_axis(masks, rows["actions"][..., None], 2).all()
            asynchronous.estimate()
            asynchronous.update()
            asynchronous.buffer.recycle()


def test_fast_environments_give_more_rows_than_slow_ones():
    class Two(Told):
        def reset(self, seed=None):
            super().reset(seed)
            self.slow = self.seed % 2
            return self.observations, []

        def step(self, actions):
            time.sleep(0.01 if self.slow else 0.0)
            return super().step(actions)

    with make_vec(Two, 4, 4, "process", batch_envs=2, report_interval=0) as vec:
        asynchronous, counts = AsynchronousPPO(vec, settings_for(None, SMALL, num_envs=4)), {}
        for _ in range(10):
            asynchronous.collect()
            for who in rows_of(asynchronous)["observations"][:, 0, 0].tolist():
                counts[who] = counts.get(who, 0) + 1
            asynchronous.buffer.recycle()
    assert max(counts.values()) > 2 * min(counts.values())


def test_it_learns_and_logs_and_leaves_no_process(tmp_path):
    result = train(Told, settings_for(None, SMALL, num_workers=4, backend="process", batch_envs=4, total_steps=12_000, ent_coef=0.0), seed=1,
                   run_dir=tmp_path)
    assert result.history[-1]["step"] == result.history[-1]["update"] * 128 >= 12_000
    returns = [update["episode_return"] for update in result.history if update["episodes"]]
    assert returns[0] < 5 and np.mean(returns[-5:]) > 1.5 * returns[0]
    assert 0.8 < result.history[-1]["density"] <= 1
    assert not multiprocessing.active_children()


def test_a_native_environment_is_learned_in_parts_by_threads(tmp_path):
    result = train("bandit", seed=1, backend="thread", num_workers=4, num_envs=256, batch_envs=128, total_steps=400_000, run_dir=tmp_path)
    assert result.history[-1]["score"] > 0.9


def test_a_run_goes_on_from_its_checkpoint(tmp_path):
    settings = dict(num_workers=4, backend="process", batch_envs=4, total_steps=4096)

    def press_ctrl_c(update):
        if update["update"] == 10:
            signal.raise_signal(signal.SIGINT)
    half = train(Told, settings_for(None, SMALL, **settings), seed=2, run_dir=tmp_path, dashboard=press_ctrl_c)
    assert half.ended == "interrupted" and half.history[-1]["step"] == 1280
    rest = train(Told, resume=half.checkpoint)
    assert [update["step"] for update in rest.history] == list(range(1408, 4097, 128)) and rest.config.batch_envs == 4
