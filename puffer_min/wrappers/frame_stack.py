"""`StackedBatch`: the last k observations as one, for environments of any kind.

    vec = make_vec("pong", num_envs=64, frame_stack=4)          # observations (64, 4, 8)
    train("pong", env_settings={"frame_stack": 4})

It stands between a batch and its vectorizer, on every backend. The environments write into rows of its own;
`push` (pixels.pyx) moves each stack on inside the batch's memory: k - 1 frames move up, one is copied. No
array is made in a step.

The first observation of an episode fills the stack, so nothing of the episode before is left in it. A slot
that held no agent begins in the same way. `final_observations` holds the stack whose newest frame is the last
one of the episode that has ended.
"""

import dataclasses

import numpy as np
from gymnasium import spaces

from envs.core.buffers import Buffers
from envs.core.settings import whole
from puffer_min.env.spec import Described, EnvSpec, GroupRows
from puffer_min.wrappers.pixels import push

MOST = 1024             # frames of a stack


def stacked(spec, frames):
    """`spec` (an `EnvSpec`) of the same environment with `frames` observations in one.

    Raises TypeError for structured observations, whose rows are bytes of several kinds.
    """
    space = spec.single_observation_space
    if isinstance(space, GroupRows) or getattr(getattr(space, "layout", None), "structured", False):
        raise TypeError(f"frame_stack={frames} given for structured observations, whose rows are bytes, "
                        "expected one array; give the network a memory instead, recurrent=True")
    low, high = (np.repeat(bound[None], frames, 0) for bound in (space.low, space.high))
    return dataclasses.replace(spec, single_observation_space=spaces.Box(low, high, dtype=space.dtype),
                               observation_sets=None, native=False)


class StackedBatch(Described):
    """The environments of `batch`, whose observations are the last `frames` ones: (frames, *shape).

    Everything but observations, and buffers, is that of the batch.
    """

    def __init__(self, batch, frames, buffers=None):
        self.batch, self.driver = batch, getattr(batch, "driver", batch)        # driver: what has a name
        try:
            self.frames = whole("frame_stack", frames, 1, MOST)
            self.describe(stacked(EnvSpec.of(batch), self.frames), batch.num_envs, batch.num_agents)
            self.newest, self.last = batch.observations, batch.final_observations
            self.lived = np.ones(self.num_agents, bool)
            self.buffers = None
            self.bind(buffers or Buffers.allocate(self.num_agents, *self.spaces, self.truncates))
        except BaseException:
            batch.close()
            raise

    def __getattr__(self, name):
        if name == "batch":             # before __init__, as in unpickling
            raise AttributeError(name)
        return getattr(self.batch, name)

    def bind(self, buffers):
        """Write into `buffers` from now on; their contents move along. The environments keep their rows."""
        buffers.check(self.num_agents, *self.spaces, self.truncates)
        for name in ("observations", "final_observations") if self.buffers is not None else ():
            if getattr(buffers, name) is not None and getattr(self.buffers, name) is not None:
                getattr(buffers, name)[:] = getattr(self.buffers, name)
        self.batch.bind(buffers._replace(observations=self.newest, final_observations=self.last))
        self.use_buffers(buffers)
        rows = [None if array is None else array.reshape(self.num_agents, -1).view(np.uint8)
                for array in (self.observations, self.newest, self.final_observations, self.last)]
        self.stacks, self.newest_rows, self.final_stacks, self.last_rows = rows

    def reset(self, seed=None):
        """Reset every environment; the first observation fills the stack. Returns (observations, infos)."""
        infos = self.batch.reset(seed)[1]
        self.observations[:] = self.newest[:, None]
        return self.observations, infos

    def step(self, actions):
        """Step every environment once; returns (observations, rewards, terminals, truncations, infos)."""
        if self.buffers is not None:
            self._check.take(actions)
        return self.observations, self.rewards, self.terminals, self.truncations, self.advance()

    def advance(self):
        """Step with the actions in the buffers, which the caller has checked; returns the infos."""
        if self.buffers is not None:
            self.lived[:] = self.masks
        infos = self.batch.step(self.actions)[4]
        ends = self.terminals | self.truncations
        begins = (ends | ~self.lived) & self.masks
        push(self.stacks, self.newest_rows, ends.view(np.uint8), begins.view(np.uint8), self.final_stacks,
             self.last_rows)
        return infos

    def get_state(self):
        """Everything that decides the future of the batch, as a picklable dict."""
        return {"batch": self.batch.get_state(), "observations": self.observations.copy()}

    def set_state(self, state):
        """Go on from a result of `get_state`; the batch must have been made with the same arguments."""
        self.batch.set_state(state["batch"])
        self.observations[:] = state["observations"]

    def close(self):
        """Close the environments and let go of the buffers. Twice is harmless."""
        self.use_buffers(None)
        self.batch.close()

    def __repr__(self):
        return f"StackedBatch({self.batch!r}, frames={self.frames})"
