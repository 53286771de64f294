"""The two sides of an environment, and who has won a game.

The first half of an environment's rows is side 0, the second half side 1. A native environment that has two
sides says so in attributes of its class:

    two_sides           the settings in which it has them: {"players": 2}
    turn_flag           where sides move in turn: the place in the observation that is 1 if it is the row's
                        move. The action of a row that waits is ignored, so that nobody is asked for it
    decided_by_return   True: the side with the larger return of the whole game has won. Otherwise the rewards
                        of the last step decide, and a game that is cut off (truncation) is drawn
"""

import numpy as np

import envs
from puffer_min.env.spec import EnvSpec, GroupRows
from puffer_min.vector.serial import is_native

WON, DRAWN, LOST = 0, 1, 2


def two_sided_settings(env) -> dict:
    """The settings in which `env`, a name, a class or a function, has two sides; {} if it needs none.

    Raises ValueError for a native environment that has only one side.
    """
    kind = envs.find(env) if isinstance(env, str) else env
    settings = getattr(kind, "two_sides", None)
    if settings is None and not hasattr(env, "step") and is_native(env):
        those = [name for name in envs.names() if hasattr(envs.load(name), "two_sides")]
        raise ValueError(f"{env if isinstance(env, str) else kind.__name__} has no two sides, expected one "
                         f"of {', '.join(those)}, or an environment of your own")
    return dict(settings or {})


class Sides:
    """The sides of the environments of a vectorizer.

    env    what the vectorizer was made of: its attributes count before those of `vec`
    vec    vectorizer of num_envs environments

    Attributes: num_envs, per_side (rows of a side), side_of (num_agents,) 0 or 1, env_of (num_agents,),
    turn_flag. Raises ValueError if the rows of an environment cannot be halved.
    """

    def __init__(self, env, vec):
        kind = envs.find(env) if isinstance(env, str) else env
        agents = EnvSpec.of(vec).agents_per_env
        if agents % 2:
            settings = getattr(kind, "two_sides", None)
            advice = f"; it has two sides with {settings}" if settings else ""
            raise ValueError(f"an environment with {agents} agent{'s' * (agents > 1)} given, expected an "
                             f"even number, half of them on each side{advice}")
        self.num_envs, self.per_side = vec.num_agents // agents, agents // 2
        self.turn_flag = getattr(kind, "turn_flag", getattr(vec, "turn_flag", None))
        seen = vec.single_observation_space
        of_bytes = isinstance(seen, GroupRows) or getattr(getattr(seen, "layout", None), "structured", False)
        if self.turn_flag is not None and of_bytes:
            raise ValueError(f"turn_flag={self.turn_flag} given for observations of several kinds, expected "
                             "one array in which it is a place: leave it out, and mask who waits")
        self.decided_by_return = getattr(kind, "decided_by_return", getattr(vec, "decided_by_return", False))
        rows = np.arange(vec.num_agents)
        self.env_of, self.side_of = rows // agents, rows % agents // self.per_side

    def by_side(self, numbers):
        """The sums (num_envs, 2) over the rows of each side of numbers (num_agents,)."""
        return numbers.reshape(self.num_envs, 2, self.per_side).sum(2)


class Referee:
    """Watches the games of a vectorizer. `steps` (num_envs,) is the length of each running game.

    longest   most steps of a game; ValueError when one has not ended then
    """

    def __init__(self, vec, sides: Sides, longest: int | None = None):
        self.vec, self.sides, self.longest = vec, sides, longest
        self.returns = np.zeros((sides.num_envs, 2))
        self.steps = np.zeros(sides.num_envs, np.int64)

    def restart(self):
        """After a reset: all games are at their first step."""
        self.returns[:] = self.steps[:] = 0

    def judge(self):
        """After a step: the environments (k,) whose game has ended, and WON, DRAWN or LOST (k,) of side 0."""
        vec, sides = self.vec, self.sides
        self.steps += 1
        if sides.decided_by_return:
            self.returns += sides.by_side(vec.rewards)
        ends = vec.terminals | vec.truncations
        if not ends.any():
            if self.longest is not None and self.steps.max() > self.longest:
                raise ValueError(f"a game has not ended after {self.longest:,} steps, expected games that "
                                 "end: give the environment a limit, or a larger longest_game")
            return np.empty(0, np.int64), np.empty(0, np.int64)
        shape = sides.num_envs, 2 * sides.per_side
        over = (ends | ~vec.masks).reshape(shape).all(1) & ends.reshape(shape).any(1)
        over = np.flatnonzero(over)
        if sides.decided_by_return:
            margin = self.returns[over, 0] - self.returns[over, 1]
        else:
            last = sides.by_side(vec.rewards)[over]
            margin = (last[:, 0] - last[:, 1]) * vec.terminals.reshape(shape)[over].any(1)
        self.returns[over], self.steps[over] = 0, 0
        return over, DRAWN - np.sign(margin).astype(np.int64)
