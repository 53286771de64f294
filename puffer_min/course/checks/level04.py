"""Checks of level 4: a rollout with its ends, a callback, a bottleneck, a vectorizer's face, throughput."""

import dataclasses
from itertools import pairwise
from types import SimpleNamespace

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from puffer_min.course import peers
from puffer_min.course.check import CheckFailed, register
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


def corridors(num_envs):
    return SyncVectorEnv([Corridor] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)


def opinion(observations):
    """A critic: (N, 2) -> (N,), different for every count."""
    return 10.0 + np.asarray(observations, float) @ np.array([3.0, 0.5])


def chooser(seed):
    """A policy that draws whole numbers, the same for a seed."""
    rng = np.random.default_rng(seed)
    return lambda observations: rng.integers(0, 3, len(observations))


def reference_rollout(envs, act, value, observations, horizon, gamma, *, cut="value of the last", as_end=True,
                      every=False,
                      discounted=True):
    """The reference; the options are the mistakes that the check knows by their numbers."""
    seen, rewards, ends = [], [], []
    for _ in range(horizon):
        seen.append(observations.copy())
        observations, reward, terminals, truncations, infos = envs.step(act(observations))
        reward = np.array(reward, float)
        paid = terminals | truncations if every else truncations
        if cut != "nothing" and paid.any():
            if cut == "value of the last":
                last = np.stack(infos["final_obs"][paid])
            else:
                last = (observations if cut == "value of the next" else seen[-1])[paid]
            reward[paid] += (gamma if discounted else 1.0) * value(last)
        rewards.append(reward)
        ends.append(terminals | truncations if as_end else terminals)
    return np.stack(seen), np.stack(rewards), np.stack(ends), observations.copy()


@register("rollout", live=True)
def _(rollout, rng):
    ("rows on environments that terminate and are truncated at random; observations before the step; "
     "truncation pays the value of the last one")
    def play(function, num_envs, horizon, gamma, seed):
        envs = corridors(num_envs)
        observations, _ = envs.reset(seed=seed)
        found = function(envs, chooser(seed), opinion, observations, horizon, gamma)
        expect(isinstance(found, tuple) and len(found) == 4,
               "it must return four arrays: observations, rewards, ends, and the observations after")
        return tuple(np.array(part, float) for part in found)

    cases = [(3, 1, 0.9, int(rng.integers(1000))), (2, 12, 0.9, int(rng.integers(1000))),
             (5, 30, 0.99, int(rng.integers(1000)))]

    def variant(**options):
        return lambda *case: play(lambda *arguments: reference_rollout(*arguments, **options), *case)

    def shifted(*case):
        seen, rewards, ends, after = variant()(*case)
        return np.concatenate([seen[1:], after[None]]), rewards, ends, after

    same_values(lambda *case: play(rollout, *case), variant(), cases, mistakes={
        "it pays nothing at a truncation: the value of the last observation is missing, and time running "
        "out looks like failure": variant(cut="nothing"),
        "at a truncation it takes the value of the next episode's first observation: the last one is in "
        "infos[\"final_obs\"]":
            variant(cut="value of the next"),
        "at a truncation it takes the value of the observation before the step: the last one is in "
        "infos[\"final_obs\"]":
            variant(cut="value of the one before"),
        "it pays at every end: only where time ran out does something follow": variant(every=True),
        "it forgets gamma: what follows comes one step later": variant(discounted=False),
        "a truncation is no end in its rows: the next episode would flow back into this one":
            variant(as_end=False),
        "the observations are those after the step: keep the ones the actions were chosen for": shifted})


# ---------------------------------------------------------------------- the callback

def call(callback, returns):
    """What the callback answers when the last episodes had these returns."""
    callback.model = SimpleNamespace(ep_info_buffer=[{"r": value, "l": 1, "t": 0.0} for value in returns],
                                     num_timesteps=len(returns))
    return callback.on_step()


@register("stop_callback", live=True)
def _(make_callback, rng):
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

    low, high = rng.uniform(0, 99, 100), rng.uniform(101, 300, 100)
    expect(answer([]), "it stops before the first episode has ended")
    expect(answer(low), "it stops although the mean is below the target: True goes on, False stops")
    expect(not answer(high), "it goes on although 100 episodes have reached the target: False stops")
    expect(answer(high[:99]), "it stops with 99 episodes: a few lucky ones are no solution, so wait for 100")
    # mean 92, last 200, half of them low
    mixed = np.concatenate([np.full(60, 20.0), np.full(40, 200.0)])
    expect(answer(mixed),
           "it stops although the mean of the 100 episodes is below the target: the last or the best ones "
           "do not count alone")
    expect(not answer(np.concatenate([np.full(60, 160.0), np.full(40, 20.0)])),
           "it goes on although the mean of the 100 episodes is above the target: single bad episodes do "
           "not count")
    other = float(rng.uniform(150, 400))
    below, at = answer(np.full(100, other - 1), other), answer(np.full(100, other), other)
    expect(below and not at,
           f"with target={other:.0f} it does not stop exactly where the mean reaches the target")
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


def random_profile(rng, functions=12):
    """Rows (stage, function, own, hook, total) whose totals contain what they call."""
    rows, stages = [], ("environment", "policy", "update", "bookkeeping")
    for i in range(functions):
        own = float(rng.uniform(0.05, 1.0))
        rows.append((stages[i % 4] if i < 4 else str(rng.choice(stages)), f"f{i}", own,
                     own * float(rng.uniform(0.0, 0.8)), own * float(rng.uniform(1, 4))))
    return rows


@register("bottleneck")
def _(bottleneck, rng):
    "values on random profiles; the hook taken out, nothing counted twice, the bound of Amdahl's law"
    def variant(take, bound=lambda most, whole: whole / (whole - most), choose=None):
        def wrong(rows):
            sums = {}
            for row in rows:
                sums[row[0]] = sums.get(row[0], 0.0) + take(row)
            stage = choose(rows, sums) if choose else max(sums, key=sums.get)
            return stage, bound(sums[stage], sum(sums.values()))
        return wrong

    trap = [("environment", "step", 6.0, 5.5, 6.0), ("policy", "forward", 2.0, 0.1, 2.0),
            ("update", "train", 0.1, 0.0, 9.0),
            ("update", "backward", 1.0, 0.0, 1.0), ("policy", "sample", 1.0, 0.1, 1.0)]
    same_values(bottleneck, reference_bottleneck, [(trap,), *((random_profile(rng),) for _ in range(4))],
                mistakes={
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


# ---------------------------------------------------------------------- the face

def drive(envs, actions):
    """Trajectory of a VecEnv under given actions: copies of all that comes back, and the infos."""
    out = [(envs.reset().copy(), None, None, None)]
    for action in actions:
        envs.step_async(action)
        out.append(envs.step_wait())
    return out


@register("vec_face", live=True)
def _(make_face, rng):
    ("the same trajectory as puffer_min.as_sb3; the last observation of an episode cut short; nothing "
     "overwritten later; PPO learns through it")
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import VecEnv

    import puffer_min

    def carts():
        return puffer_min.make_vec("cartpole", num_envs=5, seed=seed, max_episode_steps=12)

    seed = int(rng.integers(1000))
    actions = rng.integers(0, 2, (60, 5))
    actions[:, 0] = np.arange(60) % 2                           # keeps one pole up long enough to be cut
    face = make_face(carts())
    expect(isinstance(face, VecEnv),
           f"it gives {type(face).__name__}, expected an object of a class derived from VecEnv")
    expect(face.num_envs == 5, f"num_envs is {face.num_envs}, expected 5: one for each agent")
    found, right = drive(face, actions), drive(puffer_min.as_sb3(carts()), actions)
    expect(all(step[0] is not other[0] and not np.shares_memory(step[0], other[0])
               for step, other in pairwise(found)),
           "the observations of one step are overwritten by the next: hand out copies, because the rollout "
           "keeps them")
    for t, (given, expected) in enumerate(zip(found, right, strict=True)):
        expect(np.array_equal(given[0], expected[0]),
               f"the observations differ after {t} steps: are the actions passed on as int32, and all of "
               "them?")
        if t == 0:
            continue
        expect(np.array_equal(given[1], expected[1]), f"the rewards differ after {t} steps")
        expect(np.asarray(given[2]).dtype == bool and np.array_equal(given[2], expected[2]),
               f"the ends differ after {t} steps: terminated or truncated, as bool")
        expect(isinstance(given[3], list) and len(given[3]) == 5,
               "the infos must be a list with a dict for each environment")
        for agent, (info, wanted) in enumerate(zip(given[3], expected[3], strict=True)):
            if wanted.get("TimeLimit.truncated"):       # PPO reads it at no other end
                expect("terminal_observation" in info,
                       "an episode was cut short and its info holds no \"terminal_observation\": PPO would "
                       "learn that time running out is failure")
                expect(np.array_equal(info["terminal_observation"], wanted["terminal_observation"]),
                       "\"terminal_observation\" is not the last observation of the episode: it is in "
                       "final_observations")
            expect(bool(info.get("TimeLimit.truncated")) == bool(wanted.get("TimeLimit.truncated")),
                   f"\"TimeLimit.truncated\" of environment {agent} is wrong: True if the episode was cut "
                   "and did not terminate")
    expect(any(info.get("TimeLimit.truncated") for _, _, _, infos in right[1:] for info in infos),
           "the check saw no truncation; report this")
    model = PPO("MlpPolicy", make_face(carts()), n_steps=64, batch_size=64, n_epochs=1, seed=0, device="cpu")
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


@register("throughput", live=True)
def _(throughput_settings, rng):
    ("at least twice the steps a second of CleanRL's settings, and it still learns: a mean return of 60 "
     "within 16,000 steps, two seeds of three")
    terms, best, seed = terms_of(throughput_settings()), 0.0, int(rng.integers(1000))

    def score(seed):
        found = peers.run("CleanRL style", terms=terms, steps=max(1, 16_000 - terms.batch_size), seed=seed)
        return found.mean_return if len(found.episodes) else 0.0

    for _ in range(TRIES):
        pace = [peers.run("CleanRL style", terms=each, steps=3 * each.batch_size, seed=seed).sps
                for each in (peers.Terms(), terms)]
        best = max(best, pace[1] / pace[0])
        if best >= 2:
            break
    else:
        raise CheckFailed(f"it does {best:.2g} times the steps a second of CleanRL's settings, expected at "
                          "least 2 times: what is paid per call, and how many carts share a call?")
    learns(score, 60, seeds=(seed, seed + 1, seed + 2))
