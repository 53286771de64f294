"""`Game`: one agent of a batch, driven by a person, a policy or random actions, one step at a time.

The notebook's `Player` and `python -m puffer_min play` use this class. It steps the whole batch, shows the
environment of its agent, and counts steps, reward, return, length and episodes.

    game = Game(envs.make("snake"), policy, agent=0)
    game.step("ArrowUp")            # a browser key name, or None where nothing is pressed
    game.frame()                    # RGB array

Environments reset themselves inside `step`, so the picture after an episode's last step already shows the
next episode. `game.ended` is True on exactly that step; `game.last_return` and `game.last_length` are those
of the episode.
"""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium import spaces

from puffer_min.emulation.gymnasium_env import GymnasiumEnv
from puffer_min.env.actions import actions_of, random_actions
from puffer_min.env.values import picture

CONTROLLERS = ("human", "policy", "random")
SECOND_KEYS = {"ArrowUp": "w", "ArrowLeft": "a", "ArrowDown": "s", "ArrowRight": "d"}
"""Letter keys that act as arrow keys where an environment has arrow keys."""


def key_actions(env) -> dict:
    """Browser key name -> action: the environment's keys, w a s d as second arrows, else digits."""
    keys = dict(getattr(env, "keys", None) or {})
    if not keys and isinstance(env.single_action_space, spaces.Discrete):
        return {str(action): action for action in range(min(10, int(env.single_action_space.n)))}
    letters = {second: keys[key] for key, second in SECOND_KEYS.items() if key in keys and second not in keys}
    return keys | letters


class Game:
    """Steps all agents of `env`. One agent, `agent`, is watched and can be driven by a person.

    env         an environment of `envs.make`, a `PufferEnv`, or a Gymnasium environment with
                render_mode="rgb_array"; it is reset at once and belongs to the game from then on
    policy      object with `act(observations) -> actions` for all agents, NumPy in and out, or such a
                function; its `reset()` and `observe_ends(ends)` are optional
    agent       row of the agent that is watched, 0 <= agent < env.num_agents; its environment is drawn
    seed        of the first reset and of the random actions
    controller  what drives the agent: "human", "policy" or "random"; by default the policy if there is one,
                else a person if the environment has keys, else random actions

    While a person drives one agent, the others follow the policy, or act at random without a policy. With
    "random" all agents act at random.
    """

    def __init__(self, env, policy=None, *, agent: int = 0, seed: int = 0, controller: str | None = None):
        if isinstance(env, gymnasium.Env):
            env = GymnasiumEnv(env)
        needed = ("num_agents", "single_action_space", "actions", "step", "render")
        missing = [name for name in needed if not hasattr(env, name)]
        if missing:
            raise TypeError(f"{type(env).__name__} has no {', '.join(missing)}: "
                            "give an environment of envs.make(...) or a puffer_min.PufferEnv")
        if not 0 <= agent < env.num_agents:
            raise ValueError(f"agent={agent} given, expected a row from 0 to {env.num_agents - 1}, "
                             f"for the environment has {env.num_agents} agents")
        if policy is not None and not callable(getattr(policy, "act", policy)):
            raise TypeError(f"policy: given {type(policy).__name__}, expected an object with "
                            "act(observations) -> actions")
        self.env, self.policy, self.agent = env, policy, agent
        self.index = agent // getattr(env, "agents_per_env", env.num_agents)
        self.keys = key_actions(env)
        self.random = np.random.default_rng(seed)
        self.take_over(controller or ("policy" if policy is not None else "human" if self.keys else "random"))
        self.restart(seed)

    def take_over(self, controller: str) -> None:
        """Let `controller` drive from the next step on. ValueError if it is unknown or cannot drive."""
        if controller not in CONTROLLERS:
            raise ValueError(f"controller={controller!r} given, expected one of {', '.join(CONTROLLERS)}")
        if controller == "policy" and self.policy is None:
            raise ValueError("there is no policy to take over: give one, as in Player(env, policy)")
        if controller == "human" and not self.keys:
            raise ValueError(f"{type(self.env).__name__} names no keys, so it cannot be played by hand; "
                             "set its `keys` to a dict of key name -> action")
        self.controller = controller

    def restart(self, seed: int | None = None) -> None:
        """Begin a new game, counters at zero. Without a seed the random streams continue."""
        self.seed = seed
        self.observations, _ = self.env.reset() if seed is None else self.env.reset(seed=seed)
        if hasattr(self.policy, "reset"):
            self.policy.reset()
        self.steps = self.episodes = self.episode_length = self.last_length = 0
        self.reward = self.episode_return = self.last_return = 0.0
        self.ended, self.action = False, None

    def step(self, key: str | None = None) -> None:
        """Step the whole batch once. `key` is the key that a person holds down; None or unknown: no key.

        Raises ValueError if the policy's actions have another shape than the environment's.
        """
        env = self.env
        if self.policy is not None:         # also while a person drives: a policy may have a memory
            proposed = actions_of(self.policy, self.env, self.observations)
        if self.policy is None or self.controller == "random":
            proposed = random_actions(env.single_action_space, env.num_agents, self.random)
        actions = np.array(proposed, env.actions.dtype)
        if actions.shape != env.actions.shape:
            raise ValueError(f"the policy gave actions of shape {actions.shape}, "
                             f"expected {env.actions.shape}, one row for each agent")
        if self.controller == "human":
            actions[self.agent] = self.human_action(key)
        self.action = actions[self.agent].copy()
        self.observations, rewards, terminals, truncations, _ = env.step(actions)
        if hasattr(self.policy, "observe_ends"):
            self.policy.observe_ends(terminals | truncations)
        if self.ended:
            self.episode_return, self.episode_length = 0.0, 0
        self.reward = float(rewards[self.agent])
        self.steps += 1
        self.episode_return += self.reward
        self.episode_length += 1
        self.ended = bool(terminals[self.agent] or truncations[self.agent])
        if self.ended:
            self.episodes += 1
            self.last_return, self.last_length = self.episode_return, self.episode_length

    def human_action(self, key: str | None):
        """The action of a key; without a key the idle action, or the last one if the environment has none."""
        if key in self.keys:
            return self.keys[key]
        idle = getattr(self.env, "idle_action", 0)
        if idle is not None:
            return idle
        return 0 if self.action is None else self.action

    def frame(self) -> np.ndarray:
        """RGB picture (height, width, 3) uint8 of the agent's environment, as `render` draws it."""
        return picture(self.env.render(self.index) if self.index else self.env.render())

    def describe(self, action) -> str:
        """An action in words: its name if the environment has names, else its numbers; "-" for None."""
        if action is None:
            return "-"
        names = getattr(self.env, "action_names", ())
        if isinstance(self.env.single_action_space, spaces.Discrete) and int(action) < len(names):
            return str(names[int(action)])
        values = np.ravel(action).tolist()
        return " ".join(f"{value:.2f}" if isinstance(value, float) else str(value) for value in values)

    def legend(self) -> list[tuple[list[str], str]]:
        """(keys, action in words) for each action with a key, in the order of `keys`."""
        rows: dict[str, list[str]] = {}
        for key, action in self.keys.items():
            rows.setdefault(self.describe(action), []).append(key)
        return [(keys, words) for words, keys in rows.items()]
