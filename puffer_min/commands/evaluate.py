"""`evaluate`: what a policy is worth, from whole episodes.

    report = puffer_min.evaluate("snake", puffer_min.load_policy("snake.pt"), episodes=200)
    python -m puffer_min eval snake --checkpoint snake.pt --episodes 200
"""

import contextlib
import math

import gymnasium
import numpy as np

import envs
from envs.core.settings import whole
from puffer_min.commands import locate
from puffer_min.env.actions import actions_of
from puffer_min.env.episodes import EpisodeStatistics
from puffer_min.learner.actor import Actor
from puffer_min.learner.checkpoint import making_with, policy_from, read_checkpoint, require_same_environment
from puffer_min.vector import adapt, make_vec

MAX_AGENTS = 128


def evaluate(env, policy, *, episodes: int = 100, seed: int = 0, env_settings: dict | None = None) -> dict:
    """Play whole episodes; returns their number, the score, and means and deviations of return and length.

    env           name of an environment, a callable that makes one, or an environment or vectorizer,
                  which stays open
    policy        object with act(observations) -> actions; its reset() and observe_ends(ends) are optional
    env_settings  passed on to the environment

    Every agent plays the same number of episodes, so a few more than `episodes` may be played: counting the
    episodes that finish first would favour short ones. `score` and the environment's metrics are means of its
    log, which also holds what agents played while others finished. Raises TypeError for something that is no
    environment or no policy, ValueError unless `episodes` is a whole number of at least 1.
    """
    if isinstance(env, gymnasium.vector.VectorEnv):
        raise TypeError(f"evaluate: given a Gymnasium vector environment ({type(env).__name__}), expected "
                        "one environment, a function that makes one, or a vectorizer of make_vec")
    episodes = whole("episodes", episodes, 1)
    if isinstance(env, str | type) or not hasattr(env, "step"):
        made = sized(env, episodes, seed, env_settings or {})
    else:
        made = contextlib.nullcontext(adapt(env) if isinstance(env, gymnasium.Env) else env)
    with made as env:
        return _play(env, policy, math.ceil(episodes / env.num_agents), seed)


def sized(env, episodes, seed, settings):
    """A vectorizer with about one agent for each episode, MAX_AGENTS at most."""
    vec = make_vec(env, num_envs=1, seed=seed, report_interval=0, env_settings=settings)
    num_envs = max(1, min(episodes, MAX_AGENTS) // vec.num_agents)
    if num_envs > 1:
        vec.close()
        vec = make_vec(env, num_envs=num_envs, seed=seed, report_interval=0, env_settings=settings)
    return vec


def _play(env, policy, quota, seed):
    """The report on `quota` episodes of each agent."""
    if not callable(getattr(policy, "act", None)):
        raise TypeError(f"policy: given {type(policy).__name__}, expected an object with "
                        "act(observations) -> actions")
    observations, _ = env.reset(seed)
    if hasattr(policy, "reset"):
        policy.reset()
    log = EpisodeStatistics(env)
    returns, lengths = np.zeros(env.num_agents), np.zeros(env.num_agents, int)
    played, seen = np.zeros(env.num_agents, int), np.zeros(env.num_agents, bool)
    finished = []
    while not seen.any() or (played[seen] < quota).any():       # slots that never hold an agent do not count
        living = env.masks.copy()
        seen |= living
        observations, rewards, terminals, truncations, infos = env.step(actions_of(policy, env, observations))
        log.add(infos)
        returns += rewards * living
        lengths += living
        ends = terminals | truncations
        if ends.any():
            counted = ends & (played < quota)
            finished += zip(returns[counted], lengths[counted], strict=True)
            played += ends
            returns[ends], lengths[ends] = 0, 0
        if hasattr(policy, "observe_ends"):
            policy.observe_ends(ends)
    finished = np.array(finished)
    means, deviations = finished.mean(0), finished.std(0)
    return log.report() | {"episodes": len(finished),
                           "episode_return": means[0], "episode_return_deviation": deviations[0],
                           "episode_length": means[1], "episode_length_deviation": deviations[1]}


# ---------------------------------------------------------------------- the command line

def add_arguments(parser) -> None:
    """The arguments of `python -m puffer_min eval`."""
    locate.add_environment(parser)
    parser.add_argument("--checkpoint", required=True, metavar="FILE")
    locate.add_policy(parser)
    parser.add_argument("--episodes", type=int, default=100, help="episodes to play (100)")
    parser.add_argument("--greedy", action="store_true",
                        help="take the most probable action; otherwise actions are drawn")


def run(args) -> int:
    """Play and print; nothing is written."""
    contents = read_checkpoint(args.checkpoint)
    make_env = locate.environment(args.environment)
    if make_env in envs.names():                # before the checkpoint's settings go to another environment
        require_same_environment(contents, args.checkpoint, None, make_env)
    settings = contents["env_settings"] | dict(locate.parse_setting(text) for text in args.set)
    with making_with(contents, args.checkpoint):
        made = sized(make_env, args.episodes, args.seed, settings)
    with made as env:
        require_same_environment(contents, args.checkpoint, env, locate.name_of(env))
        factory = args.policy and locate.load_object(args.policy)
        policy = Actor(policy_from(contents, args.checkpoint, factory), seed=args.seed, greedy=args.greedy)
        report = evaluate(env, policy, episodes=args.episodes, seed=args.seed)
    for name, value in report.items():
        print(f"{name:26} {value:.4g}" if isinstance(value, float) else f"{name:26} {value}")
    print(f"Played {report['episodes']} episodes of {args.environment} with {args.checkpoint}. "
          "Nothing was written to disk.")
    return 0
