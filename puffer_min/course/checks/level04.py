"""Checks of level 4: a rollout with its ends, a callback, a bottleneck, a vectorizer's face, throughput, the
bug in an adapter.
"""

import dataclasses
from collections import deque
from types import SimpleNamespace

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from puffer_min.course import peers
from puffer_min.course.check import CheckFailed, register
from puffer_min.course.checks.faces import Recited, planted, recite
from puffer_min.course.claims import TRIES, expect, learns, same_values

# ---------------------------------------------------------------------- the rollout


class Corridor(gymnasium.Env):
    """Counts its steps and shows the count; terminates or is truncated when the seed says so."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count, self.length = 0, int(self.np_random.integers(2, 6))
        self.cut = bool(self.np_random.random() < 0.5)
        return self.look(), {}

    def look(self):
        return np.array([self.count, self.length], np.float64)

    def step(self, action):
        self.count += 1
        over = self.count >= self.length
        return self.look(), float(action) + 0.1 * self.count, over and not self.cut, over and self.cut, {}


def corridors(num_envs, copy=True):
    return SyncVectorEnv([Corridor] * num_envs, copy=copy, autoreset_mode=AutoresetMode.SAME_STEP)


def opinion(observations):
    """A critic: (N, 2) -> (N,), different for every count."""
    return 10.0 + np.asarray(observations, float) @ np.array([3.0, 0.5])


def chooser(seed):
    """A policy that draws whole numbers by what it sees, the same for a seed."""
    rng = np.random.default_rng(seed)
    return lambda observations: (rng.integers(0, 3, len(observations)) + observations[:, 0].astype(int)) % 3


def reference_rollout(envs, act, value, observations, horizon, gamma, *, cut="value of the last", as_end=True,
                      every=False, discounted=True, seen_late=False):
    """The reference; the options are the mistakes that the check knows by their numbers."""
    seen, rewards, ends = [], [], []
    for _ in range(horizon):
        seen.append(observations.copy())
        chosen = act(seen[max(len(seen) - 2, 0)] if seen_late else observations)
        observations, reward, terminals, truncations, infos = envs.step(chosen)
        reward = np.array(reward, float)
        paid = terminals | truncations if every else truncations
        if cut != "nothing" and paid.any():
            if cut == "value of the last":
                last = np.stack(infos["final_obs"][paid])
            else:
                last = (observations if cut == "value of the next" else seen[-1])[paid]
            reward[paid] += (gamma if discounted else 1.0) * value(last)
        rewards.append(reward)
        ends.append((terminals | truncations if as_end else terminals).copy())
    return np.stack(seen), np.stack(rewards), np.stack(ends), observations.copy()


def played_rollout(function, num_envs, horizon, gamma, seed, copy=True):
    """What `function` collects from corridors, as four arrays; refuses what no four arrays can be."""
    envs = corridors(num_envs, copy)
    observations, _ = envs.reset(seed=seed)
    given = observations.copy()
    found = function(envs, chooser(seed), opinion, given, horizon, gamma)
    expect(isinstance(found, tuple | list) and len(found) == 4,
           "it must return four arrays: observations, rewards, ends, and the observations after")
    found = [np.asarray(part) for part in found]
    expect(found[2].dtype == bool, f"the ends are {found[2].dtype}, expected bool")
    expect(np.array_equal(given, observations) if copy else True,
           "it writes into the observations it was given: work on a copy")
    envs.step(np.zeros(num_envs, int))                      # what it keeps must outlive the next step
    return tuple(part.astype(float) for part in found)


def rollout_cases(rng, hidden):
    cases = [(3, 1, 0.9, int(rng.integers(1000))), (2, 12, 0.9, int(rng.integers(1000))),
             (5, 30, 0.99, int(rng.integers(1000)))]
    if hidden:
        # arrays that Gymnasium writes again, one environment, many steps, other discounts
        cases += [(4, 20, 0.5, int(rng.integers(1000)), False), (1, 60, 1.0, int(rng.integers(1000))),
                  (9, 40, 0.8, int(rng.integers(1000)))]
    return cases


def rollout_variant(**options):
    return lambda *case: played_rollout(lambda *given: reference_rollout(*given, **options), *case)


def shifted_rollout(*case):
    seen, rewards, ends, after = rollout_variant()(*case)
    return np.concatenate([seen[1:], after[None]]), rewards, ends, after


ROWS = {"a truncation is no end in its rows: the next episode would flow back into this one":
            rollout_variant(as_end=False),
        "the observations are those after the step: keep the ones the actions were chosen for":
            shifted_rollout,
        "the actions are chosen for the observations of the step before": rollout_variant(seen_late=True)}


@register("rollout", live=True)
def _(rollout, rng, hidden):
    ("rows on environments that terminate and are truncated at random; observations before the step; "
     "truncation pays the value of the last one")
    same_values(lambda *case: played_rollout(rollout, *case), rollout_variant(), rollout_cases(rng, hidden),
                mistakes={
        "it pays nothing at a truncation: the value of the last observation is missing, and time running "
        "out looks like failure": rollout_variant(cut="nothing"),
        "at a truncation it takes the value of the next episode's first observation: the last one is in "
        "infos[\"final_obs\"]": rollout_variant(cut="value of the next"),
        "at a truncation it takes the value of the observation before the step: the last one is in "
        "infos[\"final_obs\"]": rollout_variant(cut="value of the one before"),
        "it pays at every end: only where time ran out does something follow": rollout_variant(every=True),
        "it forgets gamma: what follows comes one step later": rollout_variant(discounted=False), **ROWS})


@register("rollout", part="rows", live=True)
def _(rollout, rng, hidden):
    "observations before each step, ends of both kinds, and the observations after; the rewards aside"
    def of(function):
        return lambda *case: [part for i, part in enumerate(function(*case)) if i != 1]

    same_values(of(lambda *case: played_rollout(rollout, *case)), of(rollout_variant()),
                rollout_cases(rng, hidden),
                mistakes={sentence: of(wrong) for sentence, wrong in ROWS.items()})


# ---------------------------------------------------------------------- the callback

def call(callback, returns):
    """What the callback answers when the last episodes had these returns."""
    episodes = [{"r": value, "l": 1 + i, "t": 0.5 * i} for i, value in enumerate(returns)]
    callback.model = SimpleNamespace(ep_info_buffer=deque(episodes, maxlen=100), num_timesteps=len(returns))
    return callback.on_step()


@register("stop_callback", live=True)
def _(make_callback, rng, hidden):
    "goes on and stops where it should, whatever the returns; a real run of Stable-Baselines3 ends by it"
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback

    callback = make_callback(100.0)
    expect(isinstance(callback, BaseCallback),
           f"it gives {type(callback).__name__}, expected an object of a class derived from BaseCallback")

    def answer(returns, target=100.0):
        found = call(make_callback(target), returns)
        expect(found is not None,
               "_on_step returns nothing, which Stable-Baselines3 takes for \"stop\": is a return missing?")
        return bool(found)

    # whole numbers: any way of taking the mean gives the same
    low, high = rng.integers(0, 99, 100), rng.integers(101, 300, 100)
    expect(answer([]), "it stops before the first episode has ended")
    expect(answer(low), "it stops although the mean is below the target: True goes on, False stops")
    expect(not answer(high), "it goes on although 100 episodes have reached the target: False stops")
    expect(answer(high[:99]), "it stops with 99 episodes: a few lucky ones are no solution, so wait for 100")
    # each pair: where the mean lies, and what lies on the other side of the target
    for returns, sentence in (
            ([20] * 60 + [200] * 40, "the last or the best ones do not count alone"),
            ([110] * 80 + [20] * 20, "the median, or how many have reached it, does not count")):
        expect(answer(returns),
               f"it stops although the mean of the 100 episodes is below the target: {sentence}")
    for returns, sentence in (
            ([160] * 60 + [20] * 40, "single bad episodes do not count"),
            ([500] * 45 + [90] * 55, "the median, or how many have reached it, does not count")):
        expect(not answer(returns),
               f"it goes on although the mean of the 100 episodes is above the target: {sentence}")
    targets = [float(rng.integers(150, 400)), float(-rng.integers(150, 400))]
    for target in [*targets, 0.0, float(rng.integers(1, 40)) / 4] if hidden else targets:
        below, at = answer([target - 0.25] * 100, target), answer([target - 1, target + 1] * 50, target)
        expect(below and not at,
               f"with target={target:g} it does not stop exactly where the mean reaches the target")
    if hidden:
        early, late = make_callback(50.0), make_callback(500.0)
        found = [bool(call(each, returns)) for returns in (low - 100, high, low - 100)
                 for each in (early, late)]
        expect(found == [True, True, False, True, True, True],
               "two callbacks with targets of their own do not keep them apart, or one remembers what it was "
               "asked before: each call answers for its own target and for the episodes there are now")
        return
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=512, batch_size=512, n_epochs=1,
                seed=int(rng.integers(1000)), device="cpu")
    model.learn(20_000, callback=make_callback(9.0))
    expect(2 < model.num_timesteps < 20_000,
           f"a real run with target=9 ended after {model.num_timesteps:,} steps, expected an end as soon as "
           "100 episodes are there")


# ---------------------------------------------------------------------- the bottleneck

def reference_bottleneck(rows):
    net = {}
    for stage, _, own, hook, _ in rows:
        net[stage] = net.get(stage, 0.0) + own - hook
    stage = max(net, key=net.get)
    return stage, sum(net.values()) / (sum(net.values()) - net[stage])


def random_profile(rng, functions=12, stages=("environment", "policy", "update", "bookkeeping"), unit=1.0):
    """Rows (stage, function, own, hook, total) whose totals contain what they call."""
    rows = []
    for i in range(functions):
        own = unit * float(rng.uniform(0.05, 1.0))
        rows.append((stages[i] if i < len(stages) else str(rng.choice(stages)), f"f{i}", own,
                     own * float(rng.uniform(0.0, 0.8)), own * float(rng.uniform(1, 4))))
    return [rows[i] for i in rng.permutation(functions)]


# a stage of one long function, one of many hooks, and one of long totals
TRAP = [("environment", "step", 6.0, 5.5, 6.0), ("policy", "forward", 2.0, 0.1, 2.0),
        ("update", "train", 0.1, 0.0, 9.0), ("update", "backward", 1.0, 0.0, 1.0),
        ("policy", "sample", 1.0, 0.1, 1.0)]


def profiles(rng, hidden):
    """Profiles; hidden: of two stages with other names, of a hundred functions, in microseconds, and of a
    stage that is all hook.
    """
    cases = [(TRAP,), *((random_profile(rng),) for _ in range(4))]
    if hidden:
        cases += [(random_profile(rng, 5, ("a", "b")),), (random_profile(rng, 100, unit=1e-6),),
                  ([("hooks", "f", 3.0, 3.0, 3.0), ("x", "g", 1.0, 0.0, 1.0), ("y", "h", 1.5, 0.75, 2.0)],),
                  ([("one", "f", 1.0, 0.25, 1.0), ("other", "f", 1.0, 0.5, 1.0), ("one", "f", 2, 0, 4)],)]
    return cases


@register("bottleneck")
def _(bottleneck, rng, hidden):
    "values on random profiles; the hook taken out, nothing counted twice, the bound of Amdahl's law"
    def variant(take, bound=lambda most, whole: whole / (whole - most), choose=None):
        def wrong(rows):
            sums = {}
            for row in rows:
                sums[row[0]] = sums.get(row[0], 0.0) + take(row)
            stage = choose(rows, sums) if choose else max(sums, key=sums.get)
            return stage, bound(sums[stage], sum(sums.values()))
        return wrong

    same_values(bottleneck, reference_bottleneck, profiles(rng, hidden), rtol=1e-9, mistakes={
        "it adds up total times: what one function calls is counted again in the other, so add up own times":
            variant(lambda row: row[4]),
        "it leaves the profiler's hook in: a stage of many small functions looks slower than it is":
            variant(lambda row: row[2]),
        "the bound is the share itself, expected 1 / (1 - share)":
            variant(lambda row: row[2] - row[3], lambda most, whole: most / whole),
        "the bound is 1 / share, expected 1 / (1 - share): the rest remains, not the stage":
            variant(lambda row: row[2] - row[3], lambda most, whole: whole / most),
        "it takes the stage of the slowest function: a stage of many small ones may be slower": variant(
            lambda row: row[2] - row[3],
            choose=lambda rows, sums: max(rows, key=lambda row: row[2] - row[3])[0])})


@register("bottleneck", part="stage")
def _(bottleneck, rng, hidden):
    "the stage alone, whatever the factor"
    for rows, in profiles(rng, hidden):
        found = bottleneck(list(rows))
        expect(isinstance(found, tuple | list) and len(found) == 2, "it must return a stage and a factor")
        right = reference_bottleneck(rows)[0]
        expect(str(found[0]) == right,
               f"it names the stage {found[0]!r}, expected {right!r}: the one whose own times, each without "
               "its hook, add up to most")


# ---------------------------------------------------------------------- the face

@register("vec_face", part="values", live=True)
def _(make_face, rng, hidden):
    "observations, rewards, ends and infos of a vectorizer, at the moment they are handed out"
    for agents, shape in ((5, (4,)), *([(1, (2,)), (12, (3, 2))] if hidden else [])):
        recite(make_face, rng, agents, shape, memory=False)


@register("vec_face", live=True)
def _(make_face, rng, hidden):
    ("what comes back at each step; the last observation of an episode cut short; nothing overwritten later; "
     "PPO learns through it")
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import VecEnv

    import puffer_min

    def carts():
        return puffer_min.make_vec("cartpole", num_envs=5, seed=seed, max_episode_steps=12)

    seed = int(rng.integers(1000))
    face = make_face(Recited(rng, 5))
    expect(isinstance(face, VecEnv),
           f"it gives {type(face).__name__}, expected an object of a class derived from VecEnv")
    recite(make_face, rng, 5)
    if hidden:
        for agents, shape in ((1, (2,)), (12, (3, 2))):
            expect(recite(make_face, rng, agents, shape).closed, "close leaves the vectorizer open: close it")
    found, right = make_face(carts()), puffer_min.as_sb3(carts())
    pairs = [(found.reset(), right.reset())]
    for t in range(40):
        action = np.arange(t, t + 5) % 2                    # keeps the poles up long enough to be cut
        pairs.append((found.step(action)[0], right.step(action)[0]))
    expect(all(np.array_equal(ours, theirs) for ours, theirs in pairs),
           "with carts the observations are not those of puffer_min.as_sb3")
    if not hidden:
        model = PPO("MlpPolicy", make_face(carts()), n_steps=64, batch_size=64, n_epochs=1, seed=0,
                    device="cpu")
        model.learn(640)
        expect(model.num_timesteps >= 640, "PPO of Stable-Baselines3 did not get through 640 steps with it")


# ---------------------------------------------------------------------- throughput

def terms_of(settings):
    """Terms with the answer's changes; a sentence for what cannot be."""
    expect(isinstance(settings, dict) and settings,
           "it must return a dict of settings of Terms, such as {\"num_envs\": 8}")
    fields = {field.name for field in dataclasses.fields(peers.Terms)} - {"task"}
    unknown = set(settings) - fields
    expect(not unknown,
           f"{', '.join(sorted(unknown))} is no setting of Terms; there are {', '.join(sorted(fields))}")
    terms = peers.Terms(**settings)
    expect(terms.batch_size % terms.num_minibatches == 0,
           f"a batch of {terms.batch_size} steps does not divide into {terms.num_minibatches} minibatches")
    return terms


def reached(terms, seed):
    """Mean return at the end of 16,000 steps."""
    found = peers.run("CleanRL style", terms=terms, steps=max(1, 16_000 - terms.batch_size), seed=seed)
    return found.mean_return if len(found.episodes) else 0.0


@register("throughput")
def _(throughput_settings, rng):
    "settings with which it still learns: a mean return of 60 in 16,000 steps, two seeds of three"
    terms, seed = terms_of(throughput_settings()), int(rng.integers(1000))
    learns(lambda seed: reached(terms, seed), 60, seeds=(seed, seed + 1, seed + 2))


@register("throughput", part="speed")
def _(throughput_settings, rng):
    "at least twice the steps a second of CleanRL's settings"
    terms, best, seed = terms_of(throughput_settings()), 0.0, int(rng.integers(1000))
    for _ in range(TRIES):
        pace = [peers.run("CleanRL style", terms=each, steps=3 * each.batch_size, seed=seed).sps
                for each in (peers.Terms(), terms)]
        best = max(best, pace[1] / pace[0])
        if best >= 2:
            return
    raise CheckFailed(f"it does {best:.2g} times the steps a second of CleanRL's settings, expected at "
                      "least 2 times: what is paid per call, and how many carts share a call?")


# ---------------------------------------------------------------------- the planted bug

@register("adapter_culprit", live=True)
def _(culprit, rng, hidden):
    "the right listing for batches of other sizes, seeds and time limits, from what the adapter hands out"
    hints = {"memory": "rows that reset handed out change with the next step",
             "last": "the last observation in the info is that of the next episode's beginning",
             "time": "an episode ended by time, and no info says so",
             "healthy": "rows stay as they were, and each cut episode brings its flag and last observation"}
    for name in rng.permutation([*hints] * (4 if hidden else 2)).tolist():
        settings = int(rng.integers(1, 9)), int(rng.integers(2, 8)), int(rng.integers(1000))
        found = culprit(lambda name=name, settings=settings: planted(name, *settings))
        expect(found in hints, f"it returns {found!r}, expected one of {', '.join(hints)}")
        expect(found == name, f"it blames {found!r} where it is {name!r}: {hints[name]}")
