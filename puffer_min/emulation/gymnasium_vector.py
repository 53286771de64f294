"""`as_gymnasium_vector`: a vectorizer as a `gymnasium.vector.VectorEnv`, for trainers and wrappers written for Gymnasium.

    envs = puffer_min.as_gymnasium_vector(puffer_min.make_vec("cartpole", num_envs=64))
    observations, infos = envs.reset(seed=0)
    observations, rewards, terminations, truncations, infos = envs.step(envs.action_space.sample())
"""

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from puffer_min.emulation.presented import Presented, copied


def as_gymnasium_vector(vec, copy=True):
    """`vec` (of `make_vec`, or a native environment) as a `gymnasium.vector.VectorEnv`.

    Each agent is an environment of its own: num_envs is `vec.num_agents`. Observation spaces are those the environment declared, nested
    ones as nested arrays; actions are rows (whole numbers count from 0) of any integer or float dtype. Episodes start anew in the same
    step (AutoresetMode.SAME_STEP). `infos` is what Gymnasium's own vectorizers give in that mode:

    final_obs, _final_obs       last observations and for whom they are known: for all episodes that were truncated
    final_info, _final_info     {"episode": {"r", "l", "t"}}, return, length and seconds, of all episodes that ended
    masks                       only where slots are empty: which of them hold an agent

    copy     False hands out the vectorizer's own arrays, which the next step overwrites.
    """
    return GymnasiumVector(vec, copy)


class GymnasiumVector(VectorEnv):
    """See `as_gymnasium_vector`."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}

    def __init__(self, vec, copy):
        self.vec, self.copy, self.presented = vec, copy, Presented(vec)
        self.num_envs = vec.num_agents
        self.single_observation_space, self.single_action_space = self.presented.observation_space, self.presented.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed=None, options=None):
        """Reset every environment. seed: a whole number; environment i is seeded from it and from i. Options are refused."""
        if seed is not None and not isinstance(seed, (int, np.integer)):
            raise TypeError(f"seed={seed!r} given, expected a whole number: each environment derives its own from it")
        if options:
            raise ValueError(f"options={options!r} given, expected none: environments that start anew by themselves take none")
        super().reset(seed=None if seed is None else int(seed))
        return self._given(self.presented.reset(seed)), self._masks({})

    def step(self, actions):
        """Step every environment once."""
        rows, rewards, terminals, truncations, finished = self.presented.step(actions)
        infos = {}
        for agent, episode in finished:
            known = {"final_obs": self.presented.last_observation(agent)} if truncations[agent] else {}
            infos = self._add_info(infos, known | {"final_info": {"episode": episode}}, agent)
        results = (rewards, terminals, truncations)
        return self._given(self.presented.show(rows)), *(copied(results) if self.copy else results), self._masks(infos)

    def render(self):
        """One picture of each environment, where the environment draws one."""
        return tuple(self.vec.render(i) for i in range(self.vec.num_envs))

    def close_extras(self, **kwargs):
        """Close the vectorizer."""
        self.vec.close()

    def _given(self, observations):
        return copied(observations) if self.copy else observations

    def _masks(self, infos):
        return infos if self.vec.masks.all() else infos | {"masks": self.vec.masks.copy()}
