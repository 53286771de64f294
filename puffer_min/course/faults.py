"""Broken versions of native environments: each is a class that alters one thing on the way to the learner.

    env = NeverEnds(envs.make("breakout", 256))     steps and trains like the environment inside
    env = Unscaled(NeverEnds(envs.make("breakout")))                    two faults at a time

The simulator inside is healthy, and so are its rules, its picture and its log (`score`, `episode_length`).
What the learner is given passes four hooks, and a fault overrides one of them:

    heard(actions)          the actions, before the simulator takes them
    seen(rows, fresh)       the observations; `fresh` marks the first ones of an episode
    paid(rewards)           the rewards
    ended(flags)            the terminals

`episode_return` in the log is what the learner was paid. Most faults are those of stream 003; the docstring
of each says where it was found, and `sentence` says what it is in the words of the debugging lab
(debugging.py).
"""

import dataclasses

import numpy as np
from gymnasium.spaces import Discrete

from envs.core.buffers import Buffers
from puffer_min.env.spec import Described, EnvSpec

BREAKOUT = {"paddle across": 0, "ball across": 1, "ball down": 2, "speed across": 3, "speed down": 4,
            "in play": 5, "balls left": 6, "paddle width": 7, "share broken": 8, "bricks": slice(9, 117)}
TRIPLE_TRIAD = {"cards on the board": slice(0, 36), "cells that are mine": slice(36, 45),
                "cells that are theirs": slice(45, 54), "my hand": slice(54, 74),
                "their hand": slice(74, 94), "selected": slice(94, 99), "legal": slice(99, 114),
                "selected card": slice(114, 118), "would turn over": slice(118, 127),
                "what beats it": slice(127, 131), "most of each card": slice(131, 141),
                "threats": slice(141, 150), "my steps": 150, "foresight": slice(151, 165)}
PARTS = {"breakout": BREAKOUT, "triple_triad": TRIPLE_TRIAD}
"""Name of an environment -> what its observation holds: a name for each number, or for each slice of them."""

PIXELS = np.ones(117, np.float32)
PIXELS[:9] = 576, 576, 330, 5.4, 5.4, 1, 6, 62, 216
PIXELS[9:] = 108
"""breakout's observation times this is what the stream's version gave: pixels, balls, bricks as 0 or 1."""


class Broken(Described):
    """A native environment `env`, or another Broken, as its learner sees it; without a fault here.

    Has the attributes and methods of `env`.

    sentence    what is broken, for the list of suspects
    settings    of the environment inside that belong to the fault
    masked      False hides the mask of legal actions, as the stream's environments had none
    """

    sentence = "nothing is broken"
    settings = {}
    masked = True

    def __init__(self, env):
        self.env, self.seed = env, env.seed
        spec = EnvSpec.of(env)
        masks_actions = spec.masks_actions and self.masked
        self.describe(dataclasses.replace(spec, masks_actions=masks_actions), env.num_envs, env.num_agents)
        self.use_buffers(Buffers.allocate(env.num_agents, *self.spaces, self.truncates))
        self.returns, self.paid_out, self.ends = np.zeros(env.num_agents), 0.0, 0

    def heard(self, actions):
        """The actions that the simulator gets: (num_agents,) int32."""
        return actions

    def seen(self, rows, fresh):
        """Alter the observations (num_agents, numbers) in place; fresh (num_agents,) bool."""

    def paid(self, rewards):
        """Alter the rewards (num_agents,) float32 in place."""

    def ended(self, flags):
        """Alter the terminals (num_agents,) bool in place."""

    def reset(self, seed=None):
        """Start every episode afresh; returns (observations, infos)."""
        _, infos = self.env.reset(seed)
        self.seed = self.env.seed
        self.rewards[:], self.terminals[:], self.truncations[:] = 0, False, False
        self.returns[:], self.paid_out, self.ends = 0, 0.0, 0
        self.observations[:] = self.env.observations
        self.seen(self.observations, np.ones(self.num_agents, bool))
        return self.observations, infos

    def step(self, actions):
        """Step every environment; returns (observations, rewards, terminals, truncations, infos)."""
        self._check.take(actions)
        observations, rewards, terminals, truncations, infos = self.env.step(self.heard(self.actions))
        self.observations[:], self.rewards[:] = observations, rewards
        self.terminals[:], self.truncations[:] = terminals, truncations
        self.seen(self.observations, terminals | truncations)
        self.paid(self.rewards)
        self.returns += self.rewards
        over = np.flatnonzero(terminals | truncations)
        self.paid_out, self.ends = self.paid_out + float(self.returns[over].sum()), self.ends + len(over)
        self.returns[over] = 0
        self.ended(self.terminals)
        return self.observations, self.rewards, self.terminals, self.truncations, infos

    def action_masks(self):
        """The legal actions of every agent, as the environment inside gives them."""
        return self.env.action_masks()

    def log(self):
        """Mean over the games that the simulator ended; the return is what the learner was paid for them."""
        found = self.env.log()
        if found:
            found |= {"episode_return": self.paid_out / max(1, self.ends)}
            self.paid_out, self.ends = 0.0, 0
        return found

    def get_state(self):
        """The simulator's state; what the learner was given is given anew after `set_state`."""
        return {"env": self.env.get_state(), "returns": self.returns.copy()}

    def set_state(self, state):
        """Go on from a result of `get_state`."""
        self.env.set_state(state["env"])
        self.returns[:] = state["returns"]
        self.observations[:] = self.env.observations
        self.seen(self.observations, np.zeros(self.num_agents, bool))

    def render(self, index=0):
        """The simulator's picture of environment `index`."""
        return self.env.render(index)

    def close(self):
        """Close the environment inside."""
        self.env.close()


# ---------------------------------------------------------------------- what the learner sees

class Unscaled(Broken):
    """Stream 003 (@30,260): positions in pixels, up to 576, went into the network as they were."""

    sentence = "the observation is not scaled: it holds pixels"

    def seen(self, rows, fresh):
        rows *= PIXELS


class EmptyFirst(Broken):
    """Stream 003 (@32,181): reset did not compute the observation, so an episode began with zeros.

    There it happened after `reset` alone, here at the beginning of every episode.
    """

    sentence = "the first observation of an episode is empty"

    def seen(self, rows, fresh):
        rows[fresh] = 0


class AxesExchanged(Broken):
    """Level 9's plane: the stream's MOBA had x and y the other way round in one part of what it showed."""

    sentence = "x and y are exchanged in what is seen of the ball"

    def seen(self, rows, fresh):
        rows[:, [1, 2, 3, 4]] = rows[:, [2, 1, 4, 3]]


class WholeDivision(Broken):
    """The public pong of that time: the score was divided by 21 as a whole number, so it was always 0."""

    sentence = "a number is divided as whole numbers are: it is always 0"

    def seen(self, rows, fresh):
        rows[:, 1] //= 1


class CardsDivided(WholeDivision):
    """The same in triple_triad, where the stream wanted to scale the numbers of the cards (@66,317)."""

    def seen(self, rows, fresh):
        rows[:, TRIPLE_TRIAD["cards on the board"]] //= 11
        rows[:, TRIPLE_TRIAD["selected card"]] //= 11


# ---------------------------------------------------------------------- what the learner is told

class NeverEnds(Broken):
    """Stream 003 (@42,713): the flag went up, and the environment's own reset cleared it in the same step."""

    sentence = "the end of an episode never reaches the learner"

    def ended(self, flags):
        flags[:] = False


class WrongSign(Broken):
    """Connect four of that time counted a full column as a win; here what should please costs."""

    sentence = "the rewards have the wrong sign"

    def paid(self, rewards):
        rewards *= -1


class FreeStalling(Broken):
    """Stream 003 (@68,725): losing cost 1, waiting cost nothing, and a game had no last step."""

    sentence = "doing nothing is free, losing is not"
    settings = {"patience": 400}
    masked = False

    def paid(self, rewards):
        rewards[:] = np.rint(rewards) + 0.0         # -0.02 for a wasted step becomes 0, without a sign


class TaxedNoOps(FreeStalling):
    """The stream's first remedy: a no-op costs 0.1. Selecting one card after another is still free."""

    def paid(self, rewards):
        super().paid(rewards)
        rewards[self.actions == 0] -= 0.1


class TaxedStalling(FreeStalling):
    """The stream's second remedy: everything but placing a card costs 0.1, selecting a card included."""

    def heard(self, actions):
        self.placed = (self.env.observations[:, TRIPLE_TRIAD["legal"]][np.arange(len(actions)), actions] > 0
                       ) & (actions >= 6)
        return actions

    def paid(self, rewards):
        super().paid(rewards)
        rewards[~self.placed] -= 0.1


class WholeMoves(FreeStalling):
    """Another remedy: each of 45 actions names card and cell; only legal ones are offered, and none waits.

    The two steps that a move takes in the simulator count as one.
    """

    sentence = "nothing is broken: an action is a whole move"
    masked = True

    def describe(self, spec, num_envs, num_agents):
        spec = dataclasses.replace(spec, single_action_space=Discrete(45), action_names=(), keys={})
        super().describe(spec, num_envs, num_agents)

    def action_masks(self):
        seen = self.env.observations
        hand = seen[:, TRIPLE_TRIAD["my hand"]].reshape(-1, 5, 4)[:, :, 0] > 0
        mine, theirs = (seen[:, TRIPLE_TRIAD[f"cells that are {whose}"]] for whose in ("mine", "theirs"))
        free = mine + theirs == 0
        return (hand[:, :, None] & free[:, None]).reshape(-1, 45)

    def heard(self, actions):
        self.env.step(1 + actions // 9)
        return 6 + actions % 9


# ---------------------------------------------------------------------- what the simulator is told

class FirstByte(Broken):
    """Stream 003 (@88,165): the actions were read as another type. One action alone is read right."""

    sentence = "actions are read as bytes: every agent but the first gets another's"

    def heard(self, actions):
        return actions.view(np.uint8)[:len(actions)].astype(np.int32)


class BoardTurned(Broken):
    """x and y exchanged on the way in: a card for the top right goes to the bottom left."""

    sentence = "x and y are exchanged where a card is placed"

    def heard(self, actions):
        row, column = np.divmod(actions - 6, 3)
        return np.where(actions < 6, actions, 6 + 3 * column + row).astype(np.int32)
