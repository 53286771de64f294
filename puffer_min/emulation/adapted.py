"""`Adapted`: the base of `GymnasiumEnv` and `PettingZooEnv`."""

import contextlib

from puffer_min.emulation.actions import ActionLayout
from puffer_min.emulation.observations import Layout
from puffer_min.env.actions import mask_rows
from puffer_min.env.episodes import metric_names_of
from puffer_min.env.puffer_env import PufferEnv


class Adapted(PufferEnv):
    """The environment `env` of another library, with flat rows; final observations are kept at every end.

    A subclass implements `_begin(seed)`: it resets `env`, with a seed or None, and writes the observations.
    """

    truncates = keeps_last_observations = True
    masks_actions = False                           # unless `env` has action_masks
    derived = ("layout", "action_layout")

    def __init__(self, env, observation_space, action_space, info_keys, *arguments):
        self.env, self.metric_names = env, metric_names_of(info_keys)
        self.layout, self.action_layout = Layout(observation_space), ActionLayout(action_space)
        self.single_observation_space = self.layout.row_space
        self.single_action_space = self.action_layout.row_space
        with contextlib.suppress(AttributeError):
            self.masks_actions = self._find("action_masks") is not None
        super().__init__(*arguments)
        self._pending_seed = self.seed              # the random stream of `env` begins at the first reset

    @property
    def innermost(self):
        return getattr(self.env, "unwrapped", self.env)

    def reset(self, seed=None):
        """Start an episode, with a seed also the random stream; returns (observations, infos)."""
        self.begin_reset(seed)
        seed, self._pending_seed = (self._pending_seed if seed is None else self.seed), None
        self._begin(seed)
        return self.observations, []

    def action_masks(self):
        """The legal actions that the environment's own `action_masks` gives, bool (num_agents, choices)."""
        return mask_rows(self, self._find("action_masks"))

    def render(self, index=0):
        """The environment's own picture; it must have been made with render_mode="rgb_array"."""
        mode = getattr(self.env, "render_mode", None)
        if mode != "rgb_array":
            raise ValueError(f"render_mode={mode!r}: make the environment with render_mode=\"rgb_array\"")
        return self.env.render()

    def close(self):
        """Close the environment and release the buffers."""
        if self.buffers is not None:
            self.env.close()
        super().close()
