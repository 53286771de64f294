"""The checks of the contract, each a function with a name; contract.py runs them in order and reports.

A check takes a `Subject`, returns a sentence when all is well, and raises `Problem` or `Doubt` with a
sentence otherwise. Most of them look at one random play (recording.py).
"""

import dataclasses
import functools
import pickle
import sys

import numpy as np

from envs.core.buffers import Buffers
from puffer_min.env.actions import random_actions
from puffer_min.env.episodes import mean_of
from puffer_min.env.recording import RESULTS, Recording
from puffer_min.env.sharing import changed
from puffer_min.env.spec import EnvSpec

OPTIONAL = ("masks_actions", "keeps_last_observations")
ATTRIBUTES = ("num_envs", "num_agents", "observation_space", "action_space", *Buffers._fields, "buffers",
              "report_interval",
              *(field.name for field in dataclasses.fields(EnvSpec) if field.name not in OPTIONAL))
COMPARED = 200          # steps of a trajectory that is compared with its repetition
LARGE = 10.0            # observations beyond this make a network's first layer saturate


class Problem(Exception):
    """The contract is broken; the sentence says how, and what to do."""


class Doubt(Exception):
    """The contract holds, but training will probably suffer."""


def same(part, other):
    """Whether two arrays, or two trajectories, are equal to the bit (NaN equals itself)."""
    if isinstance(part, np.ndarray):
        return np.array_equal(part, other, equal_nan=True)
    return all(same(a, b) for a, b in zip(part, other, strict=True))


class Subject:
    """The environment to check: `env`; `make(num_envs)` makes another like it, None if that is unknown."""

    def __init__(self, env, make=None, *, steps=1000, seed=0):
        self.env, self.make, self.steps, self.seed = env, make, steps, seed

    @functools.cached_property
    def play(self):
        """The recorded play."""
        return Recording(self.env, self.seed, self.steps)

    def trajectory(self, before_step=None, from_reset=True):
        """Copies of the results of COMPARED random steps after a reset; `before_step(env)` precedes each."""
        env, random, trace = self.env, np.random.default_rng(self.seed), []
        if from_reset:
            env.observations[...] = 0
            trace.append((env.reset(self.seed)[0].copy(),))
        for _ in range(min(COMPARED, self.steps)):
            if before_step:
                before_step(env)
            actions = random_actions(env.single_action_space, env.num_agents, random)
            trace.append(tuple(np.array(part) for part in env.step(actions)[:4]))
        return trace

    @functools.cached_property
    def reference(self):
        """The trajectory that all others are compared with."""
        return self.trajectory()

    def first_observations(self):
        """Rows of first observations under many seeds."""
        env = self.make(64) if self.make and self.env.native else self.env
        resets = 1 + 1024 // env.num_agents if env.native else 64
        rows = [env.reset(self.seed + k)[0].reshape(env.num_agents, -1).copy() for k in range(resets)]
        return np.concatenate(rows)[:4096]


# ---------------------------------------------------------------------- the checks

def attributes(subject):
    """The names of the contract are there and agree with each other."""
    env = subject.env
    missing = [name for name in ATTRIBUTES if not hasattr(env, name)]
    if missing:
        raise Problem(f"{type(env).__name__} has no {', '.join(missing)}; derive it from PufferEnv or Native")
    expected = env.num_envs * env.agents_per_env
    if env.num_agents != expected:
        raise Problem(f"num_agents={env.num_agents}, expected num_envs * agents_per_env = {expected}")
    return f"{env.num_envs} environments of {env.agents_per_env} agent{'s' * (env.agents_per_env != 1)}"


def shapes_and_dtypes(subject):
    """Every buffer has the shape and dtype that the spaces declare."""
    env = subject.env
    try:
        buffers = Buffers(*(getattr(env, name) for name in Buffers._fields))
        buffers.check(env.num_agents, env.single_observation_space, env.single_action_space, env.truncates)
    except ValueError as error:
        raise Problem(str(error)) from error
    kind = type(env.single_action_space).__name__
    return (f"observations {env.observations.dtype} {env.observations.shape}, actions {kind} "
            f"{env.actions.dtype} {env.actions.shape}")


def first_observation(subject):
    """A reset writes every element of the first observation; only zeros are suspect."""
    env = subject.env
    kept = []
    for mark in (85, 42):               # an element that keeps both marks was never written
        env.observations[...] = mark
        kept.append(env.reset(subject.seed)[0].copy() == mark)
    unwritten = (kept[0] & kept[1]).reshape(env.num_agents, -1)[env.masks]
    if unwritten.any():
        element = np.argwhere(unwritten)[0, 1]
        raise Problem(f"reset left {unwritten.mean():.0%} of the first observation unwritten (element "
                      f"{element} first); fill self.observations before reset returns")
    if not env.observations[env.masks].any():
        raise Doubt("the first observation after reset is all zeros; unless that is an empty board, "
                    "fill self.observations before reset returns")
    return "reset writes all of it"


def play(subject):
    """Random play raises nothing."""
    return f"{subject.play.steps} random steps, {subject.play.ends} episodes ended"


def noted(name, sentence):
    """A check whose problem the recorded play has noted, or `sentence`."""
    def check(subject):
        if name in subject.play.wrong:
            raise Problem(subject.play.wrong[name])
        return sentence
    return check


def fresh_results(subject):
    """Rewards and flags are written anew at every step."""
    def spoil(env):
        env.rewards[:], env.terminals[:], env.truncations[:] = 77, True, True

    for clean, spoiled in zip(subject.reference[1:], subject.trajectory(spoil)[1:], strict=True):
        for name, a, b in zip(RESULTS[1:], clean[1:], spoiled[1:], strict=True):
            if not same(a, b):
                raise Problem(f"{name} of the step before are still there where nothing happened; "
                              "zero them at the start of step (self.begin_step does)")
    return "rewards and flags of the step before are gone"


def flags(subject):
    """The caller sees the end of an episode."""
    seen = subject.play
    if seen.ends == 0:
        logged = sum(report.get("n", 0) for report in seen.reports)
        if logged:
            raise Problem(f"the log counts {logged} episodes but no flag was ever up: "
                          "it is cleared before the caller sees it")
        raise Problem(f"no episode ended in {seen.steps} steps of random play; if that is right, check with "
                      "more steps, else the flag is cleared before the caller sees it")
    return f"{seen.ends} ends seen, every {seen.steps * subject.env.num_agents / seen.ends:.0f} agent-steps"


def log(subject):
    """The log holds every episode once, with the rewards that the caller saw."""
    seen = subject.play
    reports = seen.reports
    expected = ("n", "episode_return", "episode_length", "score")
    missing = [key for key in expected if any(key not in report for report in reports)]
    if missing:
        raise Problem(f"the log has no {', '.join(missing)}")
    episodes = sum(report["n"] for report in reports)
    if episodes != seen.ends:
        raise Problem(f"the log counts {episodes} episodes where {seen.ends} flags were up")
    for j, key in enumerate(("episode_return", "episode_length")):
        logged, counted = mean_of(reports)[key], seen.finished[j] / seen.ends
        if not np.isclose(logged, counted, rtol=1e-3, atol=1e-3):
            raise Problem(f"the log has {key} {logged:g}, the rewards and flags of the same play give "
                          f"{counted:g}")
    mean_return, mean_length = seen.finished / seen.ends
    return f"{episodes} episodes, mean return {mean_return:.3g}, mean length {mean_length:.3g}"


def autoreset(subject):
    """The observation beside the flag of an end looks like a first observation.

    The share of rows that fall outside the range of known first observations, for other first observations
    and for the rows that followed an end: the two must not differ much.
    """
    restarts = np.array(subject.play.restarts)
    if len(restarts) == 0:
        return "agents of an environment end one by one: not comparable with a reset"
    first = subject.first_observations().astype(np.float64)
    known, others = first[::2], first[1::2]
    low, high = known.min(0), known.max(0)
    expected, found = (((rows < low) | (rows > high)).any(1).mean() for rows in (others, restarts))
    if found > expected + 0.5:
        raise Problem(f"{found:.0%} of the observations beside a flag look like no first observation "
                      f"(of first observations {expected:.0%} do); start the next episode inside step and "
                      "write its first observation")
    return f"{len(restarts)} observations beside a flag look like first ones"


def scale(subject):
    """Observations have a size that suits a network."""
    largest = subject.play.largest
    if subject.env.observations.dtype != np.uint8 and largest.max() > LARGE:
        raise Doubt(f"element {largest.argmax()} reaches {largest.max():.4g}; scale observations to [-1, 1]")
    return f"largest value {largest.max():.3g}"


def dead_rows(subject):
    """Few rows hold no agent, and none holds only zeros."""
    seen = subject.play
    if not seen.lived.any():
        raise Problem(f"no row holds an agent in {seen.steps} steps of random play; set masks to True in the "
                      "rows of agents")
    blank = np.flatnonzero((seen.lived > 0) & ~seen.seen)
    if len(blank):
        raise Problem(f"agent {blank[0]} observes nothing but zeros in {seen.steps} steps ({len(blank)} of "
                      f"{len(seen.seen)} rows); write every row")
    dead = 1 - seen.lived.mean() / (seen.steps + 1)
    if dead > 0.5:
        raise Doubt(f"{dead:.0%} of the rows are masked out: the learner pays for them; make fewer slots")
    return f"{dead:.1%} masked out"


def determinism(subject):
    """The same seed gives the same trajectory."""
    for t, (once, again) in enumerate(zip(subject.reference, subject.trajectory(), strict=True)):
        for name, a, b in zip(RESULTS, once, again, strict=False):          # a reset gives observations alone
            if not same(a, b):
                raise Problem(f"two plays with seed {subject.seed} and the same actions differ in {name} at "
                              f"step {t}; draw from self.random or the stream only")
    return f"{len(subject.reference) - 1} steps repeat exactly"


def layers(env):
    """The environment and those within it, down to the innermost one."""
    found = [env]
    while getattr(found[-1], "env", None) is not None:
        found.append(found[-1].env)
    return found


def found_again(subject):
    """The class of the environment is found by its name, as unpickling and a spawned worker do."""
    for kind in map(type, layers(subject.env)):
        found = sys.modules.get(kind.__module__)
        for part in kind.__qualname__.split("."):
            found = getattr(found, part, None)
        if found is not kind:
            raise Doubt(f"{kind.__module__}.{kind.__qualname__} is not found by that name: a checkpoint may "
                        "leave out the state of the environment, and workers that are spawned cannot make "
                        "it; define the class at the top of a module")
    return f"{kind.__module__}.{kind.__qualname__} is found by its name"


def separate_objects(subject):
    """Two environments that the factory makes are two objects."""
    if subject.make is None:
        return "only one object was given"
    shared = {*map(id, layers(subject.env))} & {*map(id, layers(subject.make(subject.env.num_envs)))}
    if shared:
        raise Problem("making two environments gave one object twice, which several rows would step in turn; "
                      "make a new environment at each call: lambda: MyEnv(), not lambda: env")
    return "each call makes another environment"


def random_state(subject):
    """The environment leaves the random streams of the whole process alone."""
    if subject.play.streams:
        raise Doubt(f"{' and '.join(subject.play.streams)} changed while the environment was played: with a "
                    "global random stream trajectories depend on other code in the process; draw from "
                    "self.np_random (in a PufferEnv self.random)")
    return "no global random stream was used"


def disturb(subject, second):
    """A function that steps `second` out of step with any other: up to three times, now and then a reset."""
    random = np.random.default_rng(1)
    space, agents = second.single_action_space, second.num_agents
    second.reset(subject.seed + 1)

    def step(_=None):
        if random.random() < 0.1:
            second.reset()
        for _ in range(random.integers(4)):
            second.step(random_actions(space, agents, random))
    return step


def shared_state(subject):
    """Stepping one environment changes nothing that another one reaches."""
    if subject.make is None or subject.env.native:
        return "only one object was given" if subject.make is None else "native ones have their own memory"
    subject.env.reset(subject.seed)
    second = subject.make(subject.env.num_envs)
    step = disturb(subject, second)
    found = changed(subject.env, second, lambda: [step() for _ in range(32)])
    second.close()
    written = [name for name, only_grew in found.items() if not only_grew]
    if written:
        raise Problem(f"{', '.join(written[:3])} is one object for all environments, and stepping one "
                      "of them changes it; give each its own, made in __init__")
    if found:
        raise Doubt(f"{', '.join([*found][:3])} is one object for all environments, and grows when one "
                    "of them is stepped: keep it in the object, unless what it holds decides nothing")
    return "nothing that both reach changes"


def independence(subject):
    """A second environment in the process does not change the first."""
    if subject.make is None:
        return "only one object was given, so there is no second one to disturb it"
    disturbed = subject.trajectory(disturb(subject, subject.make(subject.env.num_envs)))
    if not same(subject.reference, disturbed):
        if not same(subject.reference, subject.trajectory()):       # undisturbed
            raise Doubt("a play no longer repeats exactly after other plays: something of earlier episodes "
                        "outlives a reset with a seed; make it anew in reset")
        raise Problem("stepping a second environment changes the first one's trajectory; keep state and "
                      "random stream in the object")
    return "a second environment changes nothing"


def saved_state(subject):
    """get_state and set_state bring the environment back."""
    env = subject.env
    try:
        env.reset(subject.seed)
        state = env.get_state()
    except Exception as error:
        raise Doubt(f"the state cannot be saved ({type(error).__name__}: {error}): "
                    "training cannot be resumed exactly") from error
    expected = subject.trajectory(from_reset=False)
    env.set_state(state)
    if not same(expected, subject.trajectory(from_reset=False)):
        raise Problem("after set_state(get_state()) the same actions give another trajectory; "
                      "keep everything that matters in attributes")
    try:
        pickle.loads(pickle.dumps(state))
    except Exception as error:
        raise Doubt(f"the state cannot be pickled ({type(error).__name__}: {error}): a checkpoint leaves it "
                    "out, and a resumed run starts its episodes anew; keep lambdas, local classes, locks and "
                    "open files out of the environment's attributes") from error
    return "goes on exactly where it was saved"


def actions(subject):
    """Actions of another dtype, shape or range are refused."""
    env = subject.env
    good = random_actions(env.single_action_space, env.num_agents, np.random.default_rng(0))
    wide = np.int64 if good.dtype == np.int32 else np.float64
    beyond = np.full_like(good, -1 if good.dtype == np.int32 else np.nan)
    longer = np.concatenate([good, good[:1]])
    for what, bad in ((f"dtype {np.dtype(wide)} where {good.dtype} is declared", good.astype(wide)),
                      (f"shape {longer.shape} where {good.shape} is declared", longer),
                      (f"value {beyond.flat[0]} outside {env.single_action_space}", beyond)):
        env.reset(subject.seed)
        try:
            env.step(bad)
        except (TypeError, ValueError):
            continue
        raise Problem(f"step took actions of {what}; refuse them (self.begin_step(actions) does)")
    return "another dtype, shape or range is refused"


def bind(subject):
    """After bind the environment writes into the caller's memory."""
    env = subject.env
    spaces = env.single_observation_space, env.single_action_space
    given = Buffers.allocate(env.num_agents, *spaces, env.truncates)
    env.bind(given)
    trace = subject.trajectory()
    moved = env.observations is given.observations and same(given.observations, trace[-1][0])
    if not moved or not same(subject.reference, trace):
        raise Problem("after bind(buffers) results do not arrive in those buffers; "
                      "write into self.observations and so on, keep no view of the old ones")
    return "writes into the buffers it is given"


def close(subject):
    """Closing twice is harmless, stepping afterwards is an error."""
    env = subject.env
    good = random_actions(env.single_action_space, env.num_agents, np.random.default_rng(0))
    env.close()
    env.close()
    try:
        env.step(good)
    except Exception:
        return "closes twice, refuses to step afterwards"
    raise Problem("step works after close; call super().close()")

