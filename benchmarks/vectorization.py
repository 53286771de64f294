"""Our vectorizer beside those of Gymnasium, Stable-Baselines3, Tianshou and EnvPool, in one run, so that the
ratios mean something.

    python benchmarks/vectorization.py                                  everything: some minutes
    python benchmarks/vectorization.py handoff trivial native           some parts
    python benchmarks/vectorization.py --json out.json --plot out.png   figures for machines and for people
    pip install envpool tianshou crafter                                missing peers are named and left out

Parts: handoff (µs of a round trip with an empty environment), trivial (a step that does nothing), matrix
(what an environment can be like, and the choice of backend="auto" beside fixed settings), native, crafter,
scaling (simulated for 8 to 128 cores from the costs measured here).

All contenders of a part are made first; then they take turns in slices of a fraction of a second, and the
best slice of each counts: whatever else the machine does makes a slice slower and never faster.
"""

import argparse
import importlib.util
import json
import os
import sys
import time
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")                   # before NumPy is imported

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

import envs
from puffer_min.cores import cores
from puffer_min.course.scheduler import Costs, scaling
from puffer_min.course.survey_rows import Crafter
from puffer_min.env.puffer_env import PufferEnv
from puffer_min.measure import quantity
from puffer_min.vector import ProcessVectorizer, make_vec

TURNS, SLICE = 7, 0.12          # slices of a contender, seconds each


class Work(gymnasium.Env):
    """A Gymnasium environment whose step takes `seconds` of a core's time; one step in `rare` takes
    `long_seconds` instead.
    """

    action_space = Discrete(2)

    def __init__(self, seconds=0.0, rare=0, long_seconds=0.0, size=16):
        self.observation_space = Box(0, 255, (size,), np.uint8)
        self.seconds, self.rare, self.long_seconds = seconds, rare, long_seconds
        self.observation = np.zeros(size, np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation, {}

    def step(self, action):
        seconds = self.long_seconds if self.rare and self.np_random.random() < 1 / self.rare else self.seconds
        if seconds:
            # not the time on the wall, which passes without a core too
            until = time.thread_time() + seconds
            while time.thread_time() < until:
                pass
        return self.observation, 0.0, False, False, {}


class Empty(PufferEnv):
    """Our own environment in Python, whose step does nothing but say so; `num_agents` agents."""

    def __init__(self, buffers=None, seed=0, num_agents=1):
        self.single_observation_space, self.single_action_space = Box(0, 255, (16,), np.uint8), Discrete(2)
        self.num_agents = num_agents
        super().__init__(buffers, seed)

    def reset(self, seed=None):
        self.begin_reset(seed)
        return self.observations, []

    def step(self, actions):
        self.begin_step(actions)
        return self.finish_step()


class Crowd(Empty):
    """A thousand agents who each see their action."""

    def step(self, actions):
        self.begin_step(actions)
        self.observations[:] = self.actions[:, None]
        return self.finish_step()


# ----------------------------------------------------- contenders: objects with run(count) and `steps` a call

class Ours:
    """Synchronous use of one of our vectorizers; `agents`: count rows, not environments."""

    def __init__(self, *args, agents=False, **settings):
        self.vec = make_vec(*args, **settings)
        self.vec.reset(0)
        self.steps = self.vec.num_agents if agents else self.vec.num_envs
        self.actions, self.close = np.zeros_like(self.vec.actions), self.vec.close

    def run(self, count):
        for _ in range(count):
            self.vec.step(self.actions)


class Asynchronous(Ours):
    """send and recv."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.vec.async_reset(0)
        self.vec.recv()
        self.steps = self.vec.batch_envs
        self.actions = self.actions[:self.vec.num_agents * self.vec.batch_envs // self.vec.num_envs]

    def run(self, count):
        for _ in range(count):
            self.vec.send(self.actions)
            self.vec.recv()


def auto(*args, **settings):
    """backend="auto", used as its plan says."""
    contender = Ours(*args, backend="auto", **settings)
    plan = contender.vec.plan
    if plan.batch_envs < contender.vec.num_envs:
        contender.close()
        contender = Asynchronous(*args, num_workers=plan.num_workers, backend=plan.backend,
                                 batch_envs=plan.batch_envs, **settings)
    contender.plan = plan
    return contender


class Peer:
    """Anybody else's vector environment."""

    def __init__(self, vec, num_envs):
        self.vec, self.steps, self.close = vec, num_envs, vec.close
        self.actions = np.zeros(num_envs, np.int64)
        vec.reset()

    def run(self, count):
        for _ in range(count):
            self.vec.step(self.actions)


def peers(make, num_envs):
    """name -> contender, for those that are installed. Each of them starts one process for each environment
    where it uses any.
    """
    makers = [make] * num_envs
    found = {"Gymnasium Sync": lambda: gymnasium.vector.SyncVectorEnv(makers),
             "Gymnasium Async": lambda: gymnasium.vector.AsyncVectorEnv(makers, shared_memory=True)}
    if installed("stable_baselines3"):
        from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv
        found |= {"SB3 Dummy": lambda: DummyVecEnv(makers),
                  "SB3 Subproc": lambda: SubprocVecEnv(makers, start_method="fork")}
    if installed("tianshou"):
        from tianshou.env import DummyVectorEnv, ShmemVectorEnv
        found |= {"Tianshou Dummy": lambda: DummyVectorEnv(makers),
                  "Tianshou Shmem": lambda: ShmemVectorEnv(makers)}
    return {name: lambda vec=vec: Peer(vec(), num_envs) for name, vec in found.items()}


def installed(package):
    """Whether a peer is there; says so if not."""
    if importlib.util.find_spec(package) is None:
        print(f"({package} is not installed and is left out)")
        return False
    return True


def measure(makers, turns=TURNS, seconds=SLICE):
    """name -> steps per second, the best slice of each contender; they take turns. Also name -> contender's
    plan, where it has one.
    """
    contenders, counts, best = {}, {}, {}
    try:
        for name, make in makers.items():
            contenders[name] = contender = make()
            count, spent = 1, 0.0
            # warm up, and find how many calls fill a slice
            while spent < seconds / 4:
                began = time.perf_counter()
                contender.run(count)
                spent = time.perf_counter() - began
                counts[name], count = max(1, int(count * seconds / max(spent, 1e-9))), 2 * count
        for _ in range(turns):
            for name, contender in contenders.items():
                began = time.perf_counter()
                contender.run(counts[name])
                rate = counts[name] * contender.steps / (time.perf_counter() - began)
                best[name] = max(best.get(name, 0.0), rate)
        plans = {name: str(contender.plan) for name, contender in contenders.items()
                 if hasattr(contender, "plan")}
    finally:
        for contender in contenders.values():
            contender.close()
    return best, plans


def report(title, makers, unit="env-steps/s", reference=None, turns=TURNS, seconds=SLICE):
    """Measure, print a table, return it."""
    rates, plans = measure(makers, turns, seconds)
    reference = reference or next(iter(rates))
    print(f"\n{title} ({unit}; ratio to {reference})")
    for name, rate in rates.items():
        print(f"  {name:44} {quantity(rate):>9}  {rate / rates[reference]:7.2f}")
    for name, plan in plans.items():
        print(f"  {name}: {plan}")
    return {"title": title, "unit": unit, "rates": rates, "plans": plans}


# ---------------------------------------------------------------------- the parts

def handoff():
    """Round trips with an environment that does nothing, less what the step itself takes in one process."""
    rates = report("Round trips a second, one empty environment a worker", {
        "in this process": lambda: Ours(Empty, 1), "1 process": lambda: Ours(Empty, 1, 1, "process"),
        "2 processes":
            lambda: Ours(Empty, 2, 2, "process"), "4 processes": lambda: Ours(Empty, 4, 4, "process"),
        "2 threads, native":
            lambda: Ours("squared", 2, 2, "thread"), "in this process, native": lambda: Ours("squared", 2)},
                   turns=15)
    microseconds = {}
    for name, workers in (("1 process", 1), ("2 processes", 2), ("4 processes", 4)):
        microseconds[name] = 1e6 * (workers / rates["rates"][name] - 1 / rates["rates"]["in this process"])
        print(f"  hand-off, {name}: {microseconds[name]:.1f} µs")
    return rates | {"microseconds": microseconds}


def trivial():
    """An empty step: 2, 16 and 32 environments."""
    return [empty_steps(num_envs) for num_envs in (2, 16, 32)]


def empty_steps(num_envs):
    """The table of `num_envs` environments whose step is empty."""
    ours = {}
    for kind, env in (("PufferEnv", Empty), ("gymnasium.Env", Work)):
        ours[f"ours, serial, {kind}"] = partial(Ours, env, num_envs, 1, "serial")
        for workers in (1, 2, 4):
            if workers <= num_envs:
                name = f"ours, {workers} process{'es' * (workers > 1)}, {kind}"
                ours[name] = partial(Ours, env, num_envs, workers, "process")
    title = f"An empty step in Python, {num_envs} environments"
    return report(title, peers(Work, num_envs) | ours, reference="Gymnasium Async")


MATRIX = {
    "cheap (0 µs)": (Work, 16, {}),
    "100 µs": (Work, 16, {"seconds": 1e-4}),
    "1 ms": (Work, 16, {"seconds": 1e-3}),
    "uneven (100 µs, 1 in 50: 5 ms)": (Work, 16, {"seconds": 1e-4, "rare": 50, "long_seconds": 5e-3}),
    "28 kB observations": (Work, 16, {"size": 28_224}),
    "1,000 agents": (Crowd, 8, {"num_agents": 1000}),
    "slow reset (100 µs, 1 in 100: 20 ms)": (Work, 16, {"seconds": 1e-4, "rare": 100, "long_seconds": 2e-2}),
}


def matrix():
    """What an environment can be like: fixed settings, and what "auto" makes of it."""
    return [kind(name, *row) for name, row in MATRIX.items()]


def kind(name, env, num_envs, settings):
    """The table of one kind of environment."""
    makers = {"ours, serial": partial(Ours, env, num_envs, **settings)}
    for workers in (2, 4):
        makers[f"ours, {workers} processes"] = partial(Ours, env, num_envs, workers, "process", **settings)
    for workers in (4, 8):
        makers[f"ours, {workers} processes, half a batch"] = partial(
            Asynchronous, env, num_envs, num_workers=workers, backend="process", batch_envs=num_envs // 2,
            **settings)
    makers["ours, auto"] = partial(auto, env, num_envs, **settings)
    if issubclass(env, gymnasium.Env):
        makers |= peers(partial(env, **settings), num_envs)
    long = bool(settings.get("rare"))                   # rare events need longer slices to be in each of them
    table = report(f"{name}, {num_envs} environments", makers, reference="ours, serial",
                   turns=5 if long else TURNS, seconds=0.5 if long else SLICE)
    rates = table["rates"]
    fixed = max(rate for contender, rate in rates.items() if contender.startswith("ours")
                and contender != "ours, auto")
    print(f"  auto is {rates['ours, auto'] / fixed:.2f} of the best fixed setting")
    return table


def native():
    """Native batches: bare, threads, processes; EnvPool's cartpole."""
    tables = []
    for name, num_envs in (("squared", 1024), ("squared", 8192), ("snake", 16), ("breakout", 1024),
                           ("cartpole", 4096)):
        makers = {"bare": partial(Bare, name, num_envs), "serial": partial(Ours, name, num_envs, agents=True)}
        for backend in ("thread", "process"):
            for workers in (1, 2, 4):
                makers[f"{workers} {backend}{'es' if backend == 'process' else 's'}"] = partial(
                    Ours, name, num_envs, workers, backend, agents=True)
        if name == "cartpole" and installed("envpool"):
            makers |= {f"EnvPool, {threads} threads": partial(EnvPool, num_envs, threads)
                       for threads in (1, 2)}
        tables.append(report(f"{name}, {num_envs} environments, native", makers, unit="agent-steps/s",
                             turns=15, seconds=0.06))
    return tables


class Bare(Peer):
    """A native environment by itself."""

    def __init__(self, name, num_envs):
        super().__init__(envs.make(name, num_envs), num_envs)
        self.steps, self.actions = self.vec.num_agents, np.zeros_like(self.vec.actions)


class EnvPool(Peer):
    """EnvPool's CartPole."""

    def __init__(self, num_envs, threads):
        import envpool
        super().__init__(envpool.make_gymnasium("CartPole-v1", num_envs=num_envs, num_threads=threads),
                         num_envs)
        self.actions = np.zeros(num_envs, np.int32)


def crafter():
    """Crafter: a step of less than a millisecond, a reset of 50 (with numba) to 600."""
    if not installed("crafter"):
        return []
    return [report("Crafter, 8 environments", {
        "ours, serial": lambda: Ours(Crafter, 8),
        "ours, 2 processes": lambda: Ours(Crafter, 8, 2, "process"),
        "ours, 4 processes, half a batch":
            lambda: Asynchronous(Crafter, 8, num_workers=4, backend="process", batch_envs=4),
        "ours, 8 processes, half a batch":
            lambda: Asynchronous(Crafter, 8, num_workers=8, backend="process", batch_envs=4),
        "Gymnasium Async": lambda: Peer(gymnasium.vector.AsyncVectorEnv([Crafter] * 8), 8)}, turns=4,
                   seconds=1.5)]


def caller_seconds(workers=4, rounds=2000):
    """Processor time of the caller for each worker in a round: to check actions, wake, be woken, and look.
    Nobody yields, all sleep.
    """
    with ProcessVectorizer(Empty, workers, workers, yield_us=0) as vec:
        vec.reset(0)
        actions, best = np.zeros(workers, np.int32), float("inf")
        for _ in range(5):
            began = time.thread_time()
            for _ in range(rounds // 5):
                vec.step(actions)
            best = min(best, (time.thread_time() - began) / (rounds // 5) / workers)
    return best


def simulated():
    """Steps per second on 8 to 128 cores, simulated from costs measured here."""
    handoff, tables = caller_seconds(), []
    for name in ("100 µs", "1 ms", "uneven (100 µs, 1 in 50: 5 ms)", "slow reset (100 µs, 1 in 100: 20 ms)"):
        settings = MATRIX[name][2]
        steps = np.full(settings.get("rare") or 1, settings["seconds"])
        if "rare" in settings:
            steps[0] = settings["long_seconds"]
        rows = scaling(Costs(steps=steps, call=1e-6, handoff=handoff), batches=200)
        print(f"\n{name}, 8 environments a core, simulated with {handoff * 1e6:.1f} µs of the caller for "
              "each worker (env-steps/s)")
        for row in rows:
            shares = ", ".join(f"{use} {row[use] / row['ideal']:.2f} of it"
                               for use in ("synchronous", "asynchronous"))
            print(f"  {row['cores']:4} cores   ideal {quantity(row['ideal']):>7}   {shares}   caller busy "
                  f"{row['caller_busy']:.0%}")
        tables.append({"title": name, "handoff": handoff, "rows": rows})
    return tables


PARTS = {"handoff": handoff, "trivial": trivial, "matrix": matrix, "native": native, "crafter": crafter,
         "scaling": simulated}


def plot(results, path):
    """Empty steps of all vectorizers beside each other, and the simulated scaling."""
    from matplotlib.figure import Figure

    drawn = [part for part in ("trivial", "scaling") if part in results]
    figure = Figure(figsize=(6.5 * max(1, len(drawn)), 5.5), layout="constrained")
    panels = dict(zip(drawn, np.ravel(figure.subplots(1, max(1, len(drawn)))), strict=True))
    if "trivial" in drawn:
        left = panels["trivial"]
        rates = results["trivial"][-1]["rates"]
        names = sorted(rates, key=rates.get)
        colours = ["tab:orange" if name.startswith("ours") else "tab:grey" for name in names]
        left.barh(names, [rates[name] for name in names], color=colours)
        left.set(xscale="log", xlabel="env-steps/s",
                 title=f"{results['trivial'][-1]['title']}, {cores()} cores")
    if "scaling" in drawn:
        right = panels["scaling"]
        for table, colour in zip(results["scaling"], ("tab:blue", "tab:green", "tab:orange", "tab:red"),
                                 strict=False):
            for use, style in (("synchronous", "--"), ("asynchronous", "-")):
                right.plot([row["cores"] for row in table["rows"]],
                           [row[use] / row["ideal"] for row in table["rows"]], style, color=colour,
                           marker="o", markersize=4, label=f"{table['title']}: {use}")
        right.set(xscale="log", xlabel="cores (simulated)", ylabel="share of ideal", ylim=(0, 1.05),
                  title="Scaling, from measured costs")
        right.set_xticks([8, 16, 32, 64, 128], ["8", "16", "32", "64", "128"], minor=False)
        right.minorticks_off()
        right.legend(fontsize=7)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--plot", metavar="FILE", help="write a picture (PNG)")
    args = parser.parse_args()
    unknown = set(args.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; expected some of {', '.join(PARTS)}")
    print(f"Python {sys.version.split()[0]}, {cores()} cores")
    results = {name: PARTS[name]() for name in args.parts or PARTS}
    where = ["the tables are above"]
    if args.json:
        with open(args.json, "w") as file:
            json.dump(results, file, indent=1)
        where.append(f"the figures in {args.json}")
    if args.plot:
        plot(results, args.plot)
        where.append(f"the picture in {args.plot}")
    print(f"\nDone: {', '.join(where)}.")


if __name__ == "__main__":
    main()
