"""What `survey` measures: environments in use, each with the package it comes from, our own, and the
sentences of the talk that a measurement can be put beside.

Every environment is made as its package makes it. `observing` names the functions that make its observation,
so that their share of a step can be clocked.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import gymnasium
import numpy as np

import envs


@dataclass(frozen=True)
class Row:
    """One environment of the survey.

    package     what to import; "" for Gymnasium's own and ours
    install     what to install where it is missing
    make        makes the environment, a new one in each call; None: it cannot be measured, `why` says why
    frames      frames of the game in one step
    observing   "module:Class.method" of the functions that make the observation
    weight      how many times the usual seconds it is measured: slow ones need it
    batch       many environments to a call, which reset themselves
    native      what `make_vec` takes, if it is ours: (name, num_envs, settings)
    """

    name: str
    package: str
    make: Callable | None
    frames: int = 1
    observing: tuple[str, ...] = ()
    weight: float = 1.0
    install: str = ""
    batch: bool = False
    native: tuple | None = None
    why: str = ""


@dataclass(frozen=True)
class Claim:
    """A sentence of the talk (level 8 and 9) with a figure in it.

    low, high   the figure: steps a second, or frames if `frames`
    row, of     the row that measures it, and which of its figures: "rate", one process, or "vectorized"
    """

    words: str
    low: float
    high: float
    row: str
    of: str = "rate"
    frames: bool = False


class Crafter(gymnasium.Env):
    """The `crafter` package, or a rung of `crafter_ladder`, in Gymnasium's words."""

    action_space = gymnasium.spaces.Discrete(17)
    observation_space = gymnasium.spaces.Box(0, 255, (64, 64, 3), np.uint8)

    def __init__(self, make=None):
        self.env = (make or importlib.import_module("crafter").Env)(seed=0)

    def reset(self, *, seed=None, options=None):
        """Begin the next episode, with a seed the first one of that seed."""
        if seed is not None:
            self.env._seed, self.env._episode = seed, 0
        return self.env.reset(), {}

    def step(self, action):
        """The package's step; its end is a terminal where health is gone, else a truncation."""
        picture, reward, done, info = self.env.step(action)
        dead = info["discount"] == 0
        return picture, reward, dead, bool(done) and not dead, {}


class Craftax:
    """`num_envs` games of Craftax-Classic, compiled by JAX for whatever device it finds, as one batch."""

    def __init__(self, name="Craftax-Classic-Pixels-v1", num_envs=64):
        self.jax = importlib.import_module("jax")
        craftax = importlib.import_module("craftax.craftax_env")
        made = craftax.make_craftax_env_from_name(name, auto_reset=True)
        over = self.jax.vmap
        self.starts = self.jax.jit(over(lambda key: made.reset(key, made.default_params)))
        self.steps = self.jax.jit(over(lambda key, state, action: made.step(key, state, action,
                                                                            made.default_params)))
        self.single_action_space = gymnasium.spaces.Discrete(17)
        self.num_envs = self.num_agents = num_envs
        self.actions = np.zeros(num_envs, np.int32)
        self.count = 0

    def keys(self):
        """A key for each environment, new ones in each call."""
        self.count += 1
        return self.jax.random.split(self.jax.random.PRNGKey(self.count), self.num_envs)

    def reset(self, seed=0):
        """Begin all games."""
        self.observations, self.state = self.jax.block_until_ready(self.starts(self.keys()))
        return np.asarray(self.observations), [{}]

    def step(self, actions):
        """Step all games, and wait for the result."""
        found = self.jax.block_until_ready(self.steps(self.keys(), self.state, actions))
        self.observations, self.state = found[:2]

    def close(self):
        """Nothing is held."""


def through_gymnasium(name, wrap=None, **settings):
    """A function that makes the environment `name`, registered with Gymnasium."""
    def make():
        env = gymnasium.make(name, disable_env_checker=True, **settings)
        return wrap(env) if wrap else env
    return make


def atari(name, **settings):
    """The same for the Arcade Learning Environment, without its greeting."""
    def make():
        ale = importlib.import_module("ale_py")
        ale.ALEInterface.setLoggerMode(ale.LoggerMode.Error)
        return through_gymnasium(name, **settings)()
    return make


def preprocessed():
    """Breakout with Gymnasium's own preprocessing: skip, maximum, grey, 84 x 84, four pictures."""
    wrappers = gymnasium.wrappers
    env = atari("ALE/Breakout-v5", frameskip=1)()
    return wrappers.FrameStackObservation(wrappers.AtariPreprocessing(env), 4)


def minigrid(*wrappers):
    """MiniGrid's DoorKey-8x8 with its picture alone: our vectorizer takes no sentences."""
    def make():
        env = gymnasium.make("MiniGrid-DoorKey-8x8-v0", disable_env_checker=True)
        for name in (*wrappers, "ImgObsWrapper"):
            env = getattr(importlib.import_module("minigrid.wrappers"), name)(env)
        return env
    return make


def ours(title, name, num_envs, package="", frames=1, **settings):
    """A row of ours."""
    settings["report_interval"] = 0
    return Row(title, package, lambda: envs.make(name, num_envs, **settings), frames, install=package,
               batch=True, native=(name, num_envs, settings))


HIGHWAY = ("highway_env.envs.common.observation:KinematicObservation.observe",)
DOOM = ("vizdoom.gymnasium_wrapper.base_gymnasium_env:VizdoomEnv._VizdoomEnv__collect_observations",)
ALE = ("ale_py.env:AtariEnv._get_obs",)
NETHACK = ("nle.env.base:NLE._get_observation", "nle.env.base:NLE._get_information")
GRID = ("minigrid.minigrid_env:MiniGridEnv.gen_obs", "minigrid.minigrid_env:MiniGridEnv.get_frame")

ROWS = (
    Row("CartPole", "", through_gymnasium("CartPole-v1")),
    Row("Acrobot", "", through_gymnasium("Acrobot-v1")),
    Row("Atari Breakout, RGB", "ale_py", atari("ALE/Breakout-v5"), 4, ALE, install="ale-py"),
    Row("Atari Breakout, grey", "ale_py", atari("ALE/Breakout-v5", obs_type="grayscale"), 4, ALE,
        install="ale-py"),
    Row("Atari Breakout, RAM", "ale_py", atari("ALE/Breakout-v5", obs_type="ram"), 4, ALE, install="ale-py"),
    Row("Atari Breakout, preprocessed", "ale_py", preprocessed, 4,
        ("gymnasium.wrappers.atari_preprocessing:AtariPreprocessing._get_obs",),
        install="ale-py opencv-python-headless"),
    Row("Doom Basic", "vizdoom.gymnasium_wrapper", through_gymnasium("VizdoomBasic-v1"), 1, DOOM,
        install="vizdoom"),
    Row("Doom Deathmatch, 4 frames", "vizdoom.gymnasium_wrapper",
        through_gymnasium("VizdoomDeathmatch-v1", frame_skip=4), 4, DOOM, install="vizdoom"),
    Row("NetHack Score", "nle", through_gymnasium("NetHackScore-v0"), 1, NETHACK,
        install="--no-deps nle"),
    Row("NetHack Challenge", "nle", through_gymnasium("NetHackChallenge-v0"), 1, NETHACK,
        install="--no-deps nle"),
    Row("MiniGrid DoorKey", "minigrid", minigrid(), 1, GRID, install="minigrid"),
    Row("MiniGrid DoorKey, RGB", "minigrid", minigrid("RGBImgPartialObsWrapper"), 1, GRID,
        install="minigrid"),
    Row("Crafter", "crafter", Crafter, 1, ("crafter.env:Env._obs",), 4, install="crafter"),
    Row("CarRacing", "Box2D", through_gymnasium("CarRacing-v3"), 1,
        ("gymnasium.envs.box2d.car_racing:CarRacing._render",), 2, install="box2d pygame-ce"),
    Row("highway", "highway_env", through_gymnasium("highway-v0"), 15, HIGHWAY, 4, install="highway-env"),
    Row("highway, fast", "highway_env", through_gymnasium("highway-fast-v0"), 5, HIGHWAY, 2,
        install="highway-env"),
    Row("MuJoCo HalfCheetah", "mujoco", through_gymnasium("HalfCheetah-v5"), 5,
        ("gymnasium.envs.mujoco.half_cheetah_v5:HalfCheetahEnv._get_obs",), install="mujoco"),
    Row("MuJoCo Humanoid", "mujoco", through_gymnasium("Humanoid-v5"), 5,
        ("gymnasium.envs.mujoco.humanoid_v5:HumanoidEnv._get_obs",), install="mujoco"),
    Row("Procgen", "", None, why="procgen has no wheel for Python 3.11 and later"),
    Row("Craftax-Classic, 64 a call", "craftax", Craftax, weight=8, install="jax craftax", batch=True),
    ours("our grid, 1,024 a call", "grid", 1024, task="door_key", size=8),
    ours("our snake, 4 boards of 1,024", "snake", 4),
    ours("our breakout, 1,024 a call", "breakout", 1024, frames=4),
    ours("our moba, 64 games a call", "moba", 64),
    ours("our crafter, pixels, 64 a call", "crafter", 64, "crafter", view="pixels"),
    ours("our crafter, symbolic, 64 a call", "crafter", 64),
)

CLAIMS = (
    Claim("Crafter: “it runs at 320 steps per second on a high-end desktop”", 320, 320, "Crafter"),
    Claim("... “it does run up to 2,800 steps per second with puffer lib”", 2800, 2800, "Crafter",
          "vectorized"),
    Claim("“this racing environment which runs at low hundreds of steps per second”", 100, 300,
          "CarRacing"),
    Claim("“this traffic simulator which somehow runs dozens of steps per second”", 24, 100,
          "highway"),
    Claim("“I've gotten Atari up to 60,000 frames per second on a desktop”", 60e3, 60e3,
          "Atari Breakout, grey", "vectorized", True),
    Claim("“Atari games run at a few thousand steps per second per core”", 2e3, 5e3,
          "Atari Breakout, grey"),
    Claim("“and proc gen to 150k”", 150e3, 150e3, "Procgen", "vectorized"),
    Claim("NetHack: “I can run it at 100,000 steps per second in puffer lib”", 100e3, 100e3,
          "NetHack Challenge", "vectorized"),
    Claim("“this common grid environment runs at 16,000 steps per second”", 16e3, 16e3,
          "MiniGrid DoorKey"),
    Claim("... “ours runs at over 10 million”", 10e6, 10e6, "our grid, 1,024 a call"),
    Claim("“this snake game runs at over 10 million steps per second per core”", 10e6, 10e6,
          "our snake, 4 boards of 1,024"),
    Claim("“this mini MOBA runs at over a million steps per second per core”", 1e6, 1e6,
          "our moba, 64 games a call"),
)
