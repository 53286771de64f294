"""Presets: what differs from the defaults of `Config`, by native environment and by kind of environment.

    settings_for("snake", learning_rate=1e-3)       the defaults, changed by snake's preset and by this rate
    kind_of(spec), KINDS[kind]                      for environments in Python, whose steps are dear

The defaults of `Config` are for native environments, which make a million steps a second. KINDS learn more
from each step: few copies, small minibatches over several epochs, normalised observations and rewards, and a
critic of its own, as in "the 37 implementation details of PPO" and in Stable-Baselines3's zoo.
benchmarks/GYMNASIUM.md has what they reach.
"""

import dataclasses
import math

import numpy as np
from gymnasium import spaces

from puffer_min.learner.config import Config, require_setting

PICTURE = 36            # rows and columns from which on an observation is a picture


def settings_for(env_name: str | None, config: Config | None = None, **overrides) -> Config:
    """The configuration for an environment: `config`, or the preset of `env_name`, changed by `overrides`.

    Raises TypeError for a name that is no setting, with the nearest one.
    """
    for name in overrides:
        require_setting(name)
    base = config or Config(**PRESETS.get(env_name, {}))
    return dataclasses.replace(base, **overrides)


def kind_of(spec) -> str:
    """The kind, a key of KINDS, of an environment in Python with this `EnvSpec`."""
    observations, actions = spec.single_observation_space, spec.single_action_space
    sides = sorted(observations.shape)[-2:]
    if observations.dtype == np.uint8 and len(observations.shape) in (2, 3) and sides[0] >= PICTURE:
        return "pictures"
    return "continuous actions" if isinstance(actions, spaces.Box) else "discrete actions"


def settings_of_kind(spec, given: dict) -> dict:
    """The settings of KINDS for an environment in Python; those in `given` are the user's, which hold."""
    settings = {"num_envs": NUM_ENVS} | KINDS[kind_of(spec)]
    if isinstance(spec.single_action_space, spaces.Box):    # of many numbers together no more than of three
        numbers = math.prod(spec.single_action_space.shape)
        settings["log_std_init"] = round(math.log(3 / max(3, numbers)), 2)
    if getattr(getattr(spec.single_observation_space, "layout", None), "structured", False):
        settings["encoder"] = "auto"                    # a row of bytes has leaves of several kinds
    if given.get("recurrent"):
        settings |= {"separate_critic": False, "whole_rows": True, "horizon": 32}
    settings |= given
    if "minibatch_size" not in given:
        config = Config(**settings)
        settings["minibatch_size"] = fitting_minibatch(config, config.num_envs * spec.agents_per_env)
    return settings


def fitting_minibatch(config: Config, num_agents: int) -> int:
    """The largest minibatch of at most `config.minibatch_size` that divides an update of `num_agents`."""
    unit = config.horizon if config.whole_rows else 1
    units = (config.batch_size or num_agents * config.horizon) // unit
    most = max(1, config.minibatch_size // unit)
    return unit * next(n for n in range(most, 0, -1) if units % n == 0)


NUM_ENVS = 16               # copies of an environment in Python
WORTH_WORKERS = 1e-3        # seconds of a step of all copies from which on processes are worth their hand-off

# By kind of environment in Python. The sizes come from Stable-Baselines3's zoo, where most tasks have 8 or 16
# copies, and from short runs on two cores. Rewards have a scale already: advantages that are normalised as
# well make the noise of a batch without a reward as large as a reward.
VECTORS = {"total_steps": 1_000_000, "horizon": 128, "minibatch_size": 256, "whole_rows": False,
           "update_epochs": 6, "learning_rate": 1e-3, "gae_lambda": 0.98,
           "encoder": "normalised", "activation": "tanh", "separate_critic": True, "norm_reward": True,
           "norm_adv": False, "torch_threads": 1}
KINDS = {
    "discrete actions": VECTORS | {"ent_coef": 0.002},
    # Bodies: more passes at a smaller rate, which falls for longer; many motors have less noise each.
    "continuous actions": VECTORS | {"ent_coef": 0.0, "total_steps": 2_000_000, "learning_rate": 5e-4,
                                     "update_epochs": 10},
    # Huang et al.'s settings for Atari.
    "pictures": {"horizon": 128, "minibatch_size": 512, "whole_rows": False,
                 "update_epochs": 4, "learning_rate": 2.5e-4, "clip_coef": 0.1, "encoder": "nature",
                 "num_layers": 1, "hidden_size": 512, "norm_reward": True},
}

# By environment, what differs from Config and why. What was measured with each is in benchmarks/LEARNER.md.
PRESETS = {
    # Balls are lost rarely and late, so gamma is high. Firing pays at once and moving pays late: without the
    # entropy bonus the paddle forgets how to move before it has hit a ball.
    "breakout": {"total_steps": 100_000_000, "encoder": "standard", "gamma": 0.9985, "gae_lambda": 0.97,
                 "ent_coef": 0.03, "anneal_ent": True, "vf_coef": 0.05},
    # Returns go up to 500: a larger value loss would dominate the policy's in the layers that both share.
    "cartpole": {"total_steps": 3_000_000, "learning_rate": 0.01, "minibatch_size": 4096, "ent_coef": 0.0,
                 "vf_coef": 0.05},
    # Only the result pays, some ten moves later: nearly no discount, and no bootstrapping.
    "connect4": {"total_steps": 40_000_000, "num_envs": 4096, "horizon": 16, "encoder": "onehot",
                 "hidden_size": 128, "gamma": 0.999, "gae_lambda": 1.0, "ent_coef": 0.03, "anneal_ent": True},
    # A car's decision matters for seconds only: gamma is low.
    "drive": {"total_steps": 15_000_000, "num_envs": 64, "encoder": "standard", "gamma": 0.97,
              "ent_coef": 0.003, "anneal_ent": True, "vf_coef": 0.1},
    # Few episodes of random play reach the goal. Normalised, the noise of the others would dominate them;
    # in a large minibatch they would not count; a larger entropy bonus would be worth more than the goal.
    "grid": {"total_steps": 5_000_000, "num_envs": 256, "horizon": 128, "minibatch_size": 1024,
             "update_epochs": 2, "encoder": "onehot", "learning_rate": 6e-3, "ent_coef": 0.0005,
             "norm_adv": False},
    # A game is thousands of ticks long: gamma is high. A larger entropy bonus keeps the actions random.
    "moba": {"total_steps": 20_000_000, "num_envs": 128, "minibatch_size": 4096, "learning_rate": 3e-3,
             "gamma": 0.995, "ent_coef": 0.003},
    # A world has 1,024 agents. Terrain and items are codes: scaled, they would mean nothing. 614 inputs are
    # one at a time, and each step of Adam moves all their weights: a larger learning rate ends exploration.
    # Thirst kills after two hundred ticks: gamma is high.
    "mmo": {"total_steps": 30_000_000, "num_envs": 1, "minibatch_size": 4096, "encoder": "onehot",
            "learning_rate": 7e-4, "gamma": 0.997, "ent_coef": 0.005},
    # The symbol is asked for some steps after it was shown: without a memory this cannot be learned.
    "memory": {"total_steps": 1_000_000, "recurrent": True, "learning_rate": 0.013},
    # Each point is a contest of its own: credit beyond its end would reward taking risks that end it.
    "pong": {"total_steps": 24_000_000, "num_envs": 512, "horizon": 64, "encoder": "standard",
             "update_epochs": 2, "learning_rate": 0.01, "gamma": 0.999, "gae_lambda": 0.985,
             "until_reward": True, "ent_coef": 0.03, "anneal_ent": True},
    # Four boards of many snakes: more agents a step are more steps a second. A sweep found the rest.
    "snake": {"num_envs": 4, "total_steps": 30_000_000, "minibatch_size": 16_384, "learning_rate": 0.015,
              "gamma": 0.955, "gae_lambda": 0.93, "ent_coef": 0.0025, "vf_coef": 0.4},
    # The only reward is at the end: with a smaller gae_lambda it hardly reaches the first moves.
    "squared": {"num_envs": 2048, "total_steps": 6_000_000, "learning_rate": 0.01, "gae_lambda": 1.0},
    # With a smaller gamma or gae_lambda the policy learns to stall: a defeat far away is a smaller one.
    "triple_triad": {"total_steps": 32_000_000, "encoder": "standard", "hidden_size": 128,
                     "learning_rate": 0.01, "gamma": 1.0, "gae_lambda": 0.9, "ent_coef": 0.03,
                     "anneal_ent": True, "vf_coef": 0.2},
}
