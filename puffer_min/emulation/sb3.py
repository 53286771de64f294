"""`as_sb3`: a vectorizer as the `VecEnv` of Stable-Baselines3.

    from stable_baselines3 import PPO
    model = PPO("MlpPolicy", puffer_min.as_sb3(puffer_min.make_vec("cartpole", num_envs=8)))
    model.learn(100_000)
"""

import functools

import numpy as np
from gymnasium import spaces

from puffer_min.emulation.presented import Presented, copied

LEAVES = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


def as_sb3(vec):
    """`vec` (of `make_vec`, or a native environment) as a Stable-Baselines3 `VecEnv`, of as many environments as `vec` has agents.

    Dicts of one level stay Dicts ("MultiInputPolicy"), what is nested deeper but of one dtype is a Box, anything else raises TypeError. At
    the end of an episode its info holds "episode" (r, l, t, as Monitor gives them), "TimeLimit.truncated", and, if it was truncated,
    "terminal_observation".
    """
    from stable_baselines3.common.vec_env import VecEnv         # the library itself does without

    return vec_env_class(VecEnv)(vec)


@functools.cache
def vec_env_class(base):
    """The methods below on the base class of Stable-Baselines3."""
    return type("SB3Vec", (SB3Methods, base), {"__module__": __name__})


def is_plain(space):
    """Whether Stable-Baselines3 can read a part of a Dict."""
    return isinstance(space, LEAVES) and not np.any(getattr(space, "start", 0))


class SB3Methods:
    """What a `VecEnv` must do."""

    def __init__(self, vec):
        self.vec, self.presented = vec, Presented(vec)
        space = self.presented.observation_space
        if isinstance(space, (spaces.Dict, spaces.Tuple)):
            if not (isinstance(space, spaces.Dict) and all(map(is_plain, space.spaces.values()))):
                if self.presented.layout.structured:
                    raise TypeError(f"observations of {space} given, which Stable-Baselines3 has no policy for; expected a Box, or a "
                                    "Dict of one level whose numbers count from 0: change them in a wrapper")
                self.presented.layout, space = None, vec.single_observation_space
        self.actions = None
        super().__init__(vec.num_agents, space, self.presented.action_space)

    def reset(self):
        """Reset every environment, with the seed given to `seed` if there was one."""
        seed = self._seeds[0]
        self._reset_seeds()
        self._reset_options()
        return copied(self.presented.reset(seed))

    def step_async(self, actions):
        """Remember the actions."""
        self.actions = actions

    def step_wait(self):
        """Step every environment once."""
        rows, rewards, terminals, truncations, finished = self.presented.step(self.actions)
        infos = [{} for _ in range(self.num_envs)]
        for agent, episode in finished:
            cut = bool(truncations[agent] and not terminals[agent])
            infos[agent] = {"episode": episode, "TimeLimit.truncated": cut}
            if cut:
                infos[agent]["terminal_observation"] = self.presented.last_observation(agent)
        return copied(self.presented.show(rows)), rewards.copy(), terminals | truncations, infos

    def close(self):
        """Close the vectorizer."""
        self.vec.close()

    def get_attr(self, attr_name, indices=None):
        """An attribute of the vectorizer, once for each environment asked for; they have no objects of their own."""
        value = None if attr_name == "render_mode" else getattr(self.vec, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name, value, indices=None):
        """Refused: the environments share one object."""
        raise NotImplementedError(f"set_attr({attr_name!r}): the environments of {self.vec!r} share one object; "
                                  "make it with other settings")

    def env_method(self, method_name, *method_args, indices=None, **method_kwargs):
        """Refused: the environments share one object."""
        raise NotImplementedError(f"env_method({method_name!r}): the environments of {self.vec!r} share one object; call its method")

    def env_is_wrapped(self, wrapper_class, indices=None):
        """Whether the environments report what the wrapper would: returns and lengths are in the infos, as from a Monitor."""
        return [wrapper_class.__name__ == "Monitor" for _ in self._get_indices(indices)]

    def get_images(self):
        """A picture of each environment."""
        return [np.asarray(self.vec.render(i)) for i in range(self.vec.num_envs)]
