"""The base of `GymnasiumEnv` and `PettingZooEnv`, and checks of the values that an environment returns.

In the functions `who` names the source of a value in errors, such as "environment 3" or "agent lion_0".
"""

import numpy as np

from puffer_min.emulation.actions import ActionLayout
from puffer_min.emulation.observations import Layout
from puffer_min.env.episodes import metric_names_of
from puffer_min.env.puffer_env import PufferEnv

LARGEST = 3.4e38            # of a reward: buffers hold float32


class Adapted(PufferEnv):
    """The environment `env` of another library, with flat rows; final observations are kept at every end.

    A subclass implements `_begin(seed)`: it resets `env`, with a seed or None, and writes the observations.
    """

    truncates = keeps_last_observations = True
    derived = ("layout", "action_layout")

    def __init__(self, env, observation_space, action_space, info_keys, *arguments):
        self.env, self.metric_names = env, metric_names_of(info_keys)
        self.layout, self.action_layout = Layout(observation_space), ActionLayout(action_space)
        self.single_observation_space = self.layout.row_space
        self.single_action_space = self.action_layout.row_space
        super().__init__(*arguments)
        self._pending_seed = self.seed              # the random stream of `env` begins at the first reset

    def reset(self, seed=None):
        """Start an episode, with a seed also the random stream; returns (observations, infos)."""
        self.begin_reset(seed)
        seed, self._pending_seed = (self._pending_seed if seed is None else self.seed), None
        self._begin(seed)
        return self.observations, []

    def render(self, index=0):
        """The environment's own picture; it must have been made with render_mode="rgb_array"."""
        mode = getattr(self.env, "render_mode", None)
        if mode != "rgb_array":
            raise ValueError(f"render_mode={mode!r}: make the environment with render_mode=\"rgb_array\"")
        return self.env.render()

    def close(self):
        """Close the environment and let go of the buffers."""
        if self.buffers is not None:
            self.env.close()
        super().close()


def number(value, who) -> float:
    """A reward: any finite number, or an array or tensor of one element. Raises TypeError or ValueError."""
    try:
        plain = value.item() if hasattr(value, "item") else value
        if isinstance(plain, (str, bytes)) or value is np.ma.masked:
            raise TypeError
        real = float(plain)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise TypeError(f"{who}: step gave the reward {value!r:.60}, expected a finite number") from error
    if not -LARGEST < real < LARGEST:
        raise ValueError(f"{who}: step gave the reward {value!r:.60}, expected a finite number")
    return real


def flag(value, name, who) -> bool:
    """The flag `name` as a bool: a bool, 0 or 1, or an array or tensor of one of them. Raises TypeError."""
    try:
        plain = value.item() if hasattr(value, "item") else value
    except (ValueError, RuntimeError):          # several elements
        plain = None
    if plain in (0, 1):
        return bool(plain)
    raise TypeError(f"{who}: step gave {name}={value!r:.60}, expected a bool")


def info_number(info, key, who) -> float:
    """The number in `info` under `key` at the end of an episode. Raises ValueError without one."""
    try:
        return float(info[key])
    except (KeyError, TypeError, ValueError):
        keys = ", ".join(map(repr, info)) or "nothing"
        given = f"{info[key]!r:.60}" if key in info else f"an info with {keys}"
        raise ValueError(f"{who}: info_keys has {key!r}, but the episode ended with {given}, "
                         "expected a number under that key") from None


def step_results(results, who) -> tuple:
    """The results of `step`, as a tuple of five whose last part is a dict. Raises TypeError."""
    if not isinstance(results, (tuple, list)) or len(results) != 5:
        given = f"{len(results)} values" if isinstance(results, (tuple, list)) else type(results).__name__
        raise TypeError(f"{who}: step gave {given}, expected (observation, reward, terminated, truncated, "
                        "info); an environment of the old Gym returns four")
    if not isinstance(results[4], dict):
        raise TypeError(f"{who}: step gave an info of type {type(results[4]).__name__}, expected a dict, "
                        "{} if there is none")
    return tuple(results)


def first_observation(reset, seed, who):
    """The observation that `reset(seed=seed)` gives, or `reset()` without a seed. Raises TypeError."""
    try:
        results = reset() if seed is None else reset(seed=seed)
    except TypeError as error:
        if "unexpected keyword argument 'seed'" not in str(error):
            raise
        raise TypeError(f"{who}: {error}, expected reset(self, *, seed=None, options=None) as in Gymnasium; "
                        "add the arguments, and begin with super().reset(seed=seed)") from error
    if not isinstance(results, tuple) or len(results) != 2:
        raise TypeError(f"{who}: reset gave {type(results).__name__}, expected the tuple (observation, info)"
                        "; an environment of the old Gym returns the observation alone")
    if not isinstance(results[1], dict):
        raise TypeError(f"{who}: reset gave (observation, {results[1]!r:.60}), expected the tuple "
                        "(observation, info) with a dict as info, {} if there is none")
    return results[0]
