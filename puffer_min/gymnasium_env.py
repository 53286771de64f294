"""`GymnasiumEnv`: one ordinary Gymnasium environment with flat spaces as a `PufferEnv` of one agent.

    env = GymnasiumEnv(gymnasium.make("CartPole-v1"))
    vec = make_vec(lambda: gymnasium.make("CartPole-v1"), num_envs=8)       # make_vec adapts by itself
"""

import gymnasium
import numpy as np
from gymnasium import spaces

from puffer_min.env import PufferEnv


class GymnasiumEnv(PufferEnv):
    """A `gymnasium.Env` behind the contract of this project: flat rows, SAME_STEP autoreset, final observation kept.

    Observation   Box: as it is, in its own dtype. Discrete: one-hot uint8.
    Actions       Discrete and MultiDiscrete count from 0 here, whatever their `start`; Box is clipped to its bounds, as most
                  environments expect, and converted to its dtype.
    Log           episode_return, episode_length, score (the return).

    The environment's own `info` dicts are not passed on. It is reset with the seed given, so what it draws from its
    `np_random` is reproducible. Nested spaces raise TypeError.
    """

    truncates = True

    def __init__(self, env, buffers=None, seed=0, report_interval=128):
        if not isinstance(env, gymnasium.Env):
            raise TypeError(f"given {type(env).__name__}, expected a gymnasium.Env, as gymnasium.make(...) gives")
        observations, actions = env.observation_space, env.action_space
        if isinstance(observations, spaces.Discrete):
            self.single_observation_space = spaces.Box(0, 1, (int(observations.n),), np.uint8)
        elif isinstance(observations, spaces.Box):
            self.single_observation_space = observations
        else:
            raise TypeError(f"observation space {observations} given, expected Box or Discrete; flatten it with "
                            "gymnasium.wrappers.FlattenObservation(env)")
        if isinstance(actions, spaces.Discrete):
            self.single_action_space = spaces.Discrete(int(actions.n))
        elif isinstance(actions, spaces.MultiDiscrete):
            self.single_action_space = spaces.MultiDiscrete(actions.nvec)
        elif isinstance(actions, spaces.Box):
            self.single_action_space = spaces.Box(actions.low.astype(np.float32), actions.high.astype(np.float32))
        else:
            raise TypeError(f"action space {actions} given, expected Discrete, MultiDiscrete or Box")
        self.env, self.num_agents = env, 1
        super().__init__(buffers, seed, report_interval)
        self._pending_seed = self.seed              # Gymnasium's stream begins at the first reset

    def reset(self, seed=None):
        """Start an episode, with a seed also the environment's random stream; returns (observations, infos)."""
        self.begin_reset(seed)
        seed, self._pending_seed = (self._pending_seed if seed is None else self.seed), None
        self._observe(self.observations, self.env.reset(seed=seed)[0])
        return self.observations, []

    def step(self, actions):
        """Step once; at an end `final_observations` holds the last observation and the environment is reset."""
        self.begin_step(actions)
        observation, self.rewards[0], terminated, truncated, _ = self.env.step(self._action())
        if terminated or truncated:
            self.terminals[0], self.truncations[0] = terminated, truncated
            self._observe(self.final_observations, observation)
            observation = self.env.reset()[0]
        self._observe(self.observations, observation)
        return self.finish_step()

    def render(self, index=0):
        """The environment's own picture; it must have been made with render_mode="rgb_array"."""
        if self.env.render_mode != "rgb_array":
            raise ValueError(f"render_mode={self.env.render_mode!r}: make the environment with render_mode=\"rgb_array\"")
        return self.env.render()

    def close(self):
        """Close the environment and let go of the buffers."""
        if self.buffers is not None:
            self.env.close()
        super().close()

    def _observe(self, rows, observation):
        if isinstance(self.env.observation_space, spaces.Discrete):
            rows[0] = 0
            rows[0, observation - self.env.observation_space.start] = 1
        else:
            rows[0] = observation

    def _action(self):
        """The action of the one agent as Gymnasium's environment wants it."""
        space = self.env.action_space
        if isinstance(space, spaces.Discrete):
            return space.dtype.type(self.actions[0] + space.start)
        if isinstance(space, spaces.MultiDiscrete):
            return (self.actions[0] + space.start).astype(space.dtype)
        return np.clip(self.actions[0], space.low, space.high).astype(space.dtype)
