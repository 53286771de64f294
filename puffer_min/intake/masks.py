"""`masks_from_info`: an environment that tells its legal actions in the info gets a method for them.

    puffer_min.train(MyEnv)                     # has a method action_masks(), as our own: needs no wrapper
    puffer_min.train(lambda: puffer_min.masks_from_info(gymnasium.make("Taxi-v4")))     # info["action_mask"]

`action_masks()` gives the mask of the next action, one truth
value for each choice: n of them for a Discrete(n); for several components those of each, one after the other,
as Stable-Baselines3's contrib package has it. For a PettingZoo environment it gives a dict, agent -> mask; an
agent without one may do everything.
"""

import gymnasium

from puffer_min.env.values import step_results


def masks_from_info(env, key="action_mask"):
    """`env`, of Gymnasium or of PettingZoo's parallel API, with a method `action_masks()`.

    key   under which the info, or else an observation that is a dict, has the mask

    The environment raises ValueError in `reset` or `step` where the mask is in neither.
    """
    return InfoMasks(env, key) if isinstance(env, gymnasium.Env) else ParallelInfoMasks(env, key)


class InfoMasks(gymnasium.Wrapper):
    """See `masks_from_info`."""

    def __init__(self, env, key):
        super().__init__(env)
        self.key, self.mask = key, None

    def reset(self, **arguments):
        observation, info = self.env.reset(**arguments)
        self.mask = mask_in(info, observation, self.key)
        return observation, info

    def step(self, action):
        results = step_results(self.env.step(action), type(self.unwrapped).__name__)
        self.mask = mask_in(results[4], results[0], self.key)
        return results

    def action_masks(self):
        """The mask of the next action."""
        return self.mask


class ParallelInfoMasks:
    """See `masks_from_info`; all that is not below is the environment's."""

    def __init__(self, env, key):
        self.env, self.key, self.masks = env, key, {}

    def __getattr__(self, name):
        if name == "env" or name.startswith("__"):      # before __init__, as in unpickling; a copy's own
            raise AttributeError(name)
        return getattr(self.env, name)

    def reset(self, **arguments):
        observations, infos = self.env.reset(**arguments)
        self._keep(observations, infos)
        return observations, infos

    def step(self, actions):
        results = self.env.step(actions)
        self._keep(results[0], results[4])
        return results

    def action_masks(self):
        """The mask of the next action of each agent in the game."""
        return self.masks

    def _keep(self, observations, infos):
        self.masks = {name: mask_in((infos or {}).get(name), observations.get(name), self.key)
                      for name in self.env.agents}


def mask_in(info, observation, key):
    """The mask under `key`. Raises ValueError with the keys that there are."""
    info = info or {}
    if key in info:
        return info[key]
    if isinstance(observation, dict) and key in observation:
        return observation[key]
    keys = ", ".join(map(repr, info)) or "nothing"
    raise ValueError(f"no mask {key!r} given, but an info with {keys}: expected a truth value for each "
                     "action in every info, or in every observation that is a dict")
