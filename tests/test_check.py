"""The contract test: a sound environment passes, and each mistake makes exactly the check fail that is named after it."""

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Text

import envs
from puffer_min.__main__ import main
from puffer_min.commands.check import check_environment
from puffer_min.env.contract import CHECKS
from puffer_min.env.puffer_env import PufferEnv


class Sound(PufferEnv):
    """A walker starts near 0 and is pushed to -1 or 1, where the episode ends. Observation: position, 1 where it is positive."""

    truncates = True

    def __init__(self, buffers=None, seed=0, num_agents=1):
        self.single_observation_space = Box(-1, 1, (2,), np.float32)
        self.single_action_space = Discrete(2)
        self.num_agents = num_agents
        super().__init__(buffers, seed)
        self.position = np.zeros(num_agents)

    def reset(self, seed=None):
        self.begin_reset(seed)
        self.start(np.ones(self.num_agents, bool))
        self.show()
        return self.observations, []

    def step(self, actions):
        self.begin_step(actions)
        self.position += 0.2 * (2 * self.actions - 1) + self.random.uniform(-0.05, 0.05, self.num_agents)
        self.judge()
        self.final_observations[:, 0] = self.position.clip(-1, 1)
        self.restart()
        self.show()
        return self.finish_step()

    def judge(self):
        self.terminals[np.abs(self.position) > 0.9] = True
        self.truncations[self.lengths >= 30] = True
        self.rewards[self.terminals] = np.sign(self.position[self.terminals])

    def restart(self):
        self.start(self.terminals | self.truncations)

    def start(self, agents):
        self.position[agents] = self.random.uniform(-0.1, 0.1, agents.sum())

    def show(self):
        self.observations[:, 0] = self.position.clip(-1, 1)
        self.observations[:, 1] = self.position > 0


class WrongNumberOfAgents(Sound):
    def __init__(self):
        super().__init__()
        self.agents_per_env = 3


class RewardsInDoublePrecision(Sound):
    def bind(self, buffers):
        super().bind(buffers)
        self.rewards = self.rewards.astype(np.float64)


class FirstObservationLeftEmpty(Sound):
    def reset(self, seed=None):
        self.begin_reset(seed)
        self.start(np.ones(self.num_agents, bool))
        return self.observations, []


class FirstObservationAllZeros(Sound):
    def start(self, agents):
        self.position[agents] = 0


class RaisesInTheMiddle(Sound):
    def judge(self):
        super().judge()
        if self.lengths[0] == 5:
            raise ZeroDivisionError("the score")


class ReturnsCopies(Sound):
    def finish_step(self, infos=()):
        observations, *rest = super().finish_step(infos)
        return observations.copy(), *rest


class SwapsResults(Sound):
    def finish_step(self, infos=()):
        observations, rewards, terminals, truncations, infos = super().finish_step(infos)
        return observations, rewards, truncations, terminals, infos


class NewArrayEachStep(Sound):
    def show(self):
        self.observations = self.observations.copy()
        super().show()


class LeavesTheSpace(Sound):
    def show(self):
        super().show()
        self.observations[:, 0] = 1.5 * self.position


class ObservesNaN(Sound):
    def show(self):
        super().show()
        self.observations[:, 1] = np.where(self.position > 0.8, np.nan, 0)


class RewardIsNaN(Sound):
    def judge(self):
        super().judge()
        self.rewards[self.terminals] = np.nan


class InfosIsADict(Sound):
    def finish_step(self, infos=()):
        return *super().finish_step(infos)[:4], {}


class DrawsFromTheGlobalStream(Sound):
    def start(self, agents):
        self.position[agents] = np.random.uniform(-0.1, 0.1, agents.sum())


class FlagsNeverZeroed(Sound):
    def begin_step(self, actions):
        kept = [array.copy() for array in (self.terminals, self.truncations)]
        super().begin_step(actions)
        self.terminals[:], self.truncations[:] = kept


class FlagClearedByTheRestart(Sound):
    def restart(self):
        super().restart()
        self.terminals[:] = self.truncations[:] = False


class FlagClearedAfterTheLog(Sound):
    def finish_step(self, infos=()):
        results = super().finish_step(infos)
        self.terminals[:] = self.truncations[:] = False
        return results


class LogCountsTwice(Sound):
    def log(self):
        report = super().log()
        return report | {"n": 2 * report["n"]} if report else report


class LogsAnotherReturn(Sound):
    def finish_step(self, infos=()):
        self.returns += 0.25
        return super().finish_step(infos)


class LastObservationBesideTheFlag(Sound):
    def restart(self):
        pass

    def show(self):
        super().show()
        self.start(self.terminals | self.truncations)


class NotScaled(Sound):
    def __init__(self):
        super().__init__()
        self.single_observation_space = Box(-np.inf, np.inf, (2,), np.float32)

    def show(self):
        super().show()
        self.observations *= 255


class RowNeverWritten(Sound):
    def __init__(self):
        super().__init__(num_agents=2)

    def show(self):
        super().show()
        self.observations[1] = 0


class MostlyEmptySlots(Sound):
    def __init__(self):
        super().__init__(num_agents=8)

    def show(self):
        super().show()
        self.masks[2:] = False


class OneStreamForAll(Sound):
    shared = np.random.default_rng(0)

    def begin_reset(self, seed=None):
        super().begin_reset(seed)
        if seed is not None:
            OneStreamForAll.shared = np.random.default_rng(seed)

    def start(self, agents):
        self.position[agents] = self.shared.uniform(-0.1, 0.1, agents.sum())


class StateOutsideTheObject(Sound):
    store = {}

    @property
    def position(self):
        return self.store[id(self)]

    @position.setter
    def position(self, value):
        self.store[id(self)] = value


class StateLeftOut(Sound):
    derived = ("position",)


class OneCountForAll(Sound):
    count = 0

    def begin_reset(self, seed=None):
        super().begin_reset(seed)
        if seed is not None:
            OneCountForAll.count = 0

    def start(self, agents):
        super().start(agents)
        self.position[agents] += 0.01 * (OneCountForAll.count % 3)

    def judge(self):
        OneCountForAll.count += 1
        super().judge()


class OneBoardForAll(Sound):
    """As many a beginner writes it: an array of the class, filled in place, that each reset clears."""

    board = np.zeros(4)

    def judge(self):
        super().judge()
        self.board[:] = self.position[0]


FIELD = np.zeros((3, 3))


class WritesAGlobal(Sound):
    def judge(self):
        super().judge()
        FIELD[1:, 1:] = self.position[0]


class OneDefaultForAll(Sound):
    def __init__(self, path=np.zeros(3)):               # noqa: B008  the mistake
        super().__init__()
        self.path = path[1:]

    def judge(self):
        super().judge()
        self.path[:] = self.position[0]


class OneLevelForAll(Sound):
    settings = {"level": {"width": 1.0}}

    def restart(self):
        super().restart()
        self.settings["level"]["width"] += 0.1


class KeepsOneCacheForAll(Sound):
    cache = {}

    def judge(self):
        super().judge()
        self.cache.setdefault(round(float(self.position[0]), 3), len(self.cache))


class ReadsOneTable(Sound):
    table = np.linspace(-1, 1, 100)

    def judge(self):
        super().judge()
        self.table.searchsorted(self.position[0])


class CannotBeCopied(Sound):
    def __init__(self):
        super().__init__()
        self.numbers = (n for n in range(3))


class CannotBePickled(Sound):
    def __init__(self):
        super().__init__()
        self.rule = lambda position: position


class TouchesTheGlobalStream(Sound):
    def judge(self):
        np.random.random()
        super().judge()


def hidden():
    class Hidden(Sound):
        pass
    return Hidden


ONE = Sound()


def OneObject():
    return ONE


class TakesAnyActions(Sound):
    def begin_step(self, actions):
        if actions.min() < 0:
            raise ValueError("negative")
        self.actions[:] = actions[:1]
        self.rewards[:], self.terminals[:], self.truncations[:] = 0, False, False


class KeepsAViewOfItsOldMemory(Sound):
    def show(self):
        self.view = vars(self).get("view", self.observations)
        self.view[:, 0], self.view[:, 1] = self.position.clip(-1, 1), self.position > 0


class StaysOpen(Sound):
    def close(self):
        pass


class ClosesOnce(Sound):
    def close(self):
        self.observations.sum()
        super().close()


class CannotBeMade(Sound):
    def __init__(self):
        raise FileNotFoundError("map.txt")


MISTAKES = {
    CannotBeMade: "construction",
    WrongNumberOfAgents: "attributes",
    RewardsInDoublePrecision: "shapes and dtypes",
    FirstObservationLeftEmpty: "first observation",
    RaisesInTheMiddle: "play",
    ReturnsCopies: "same arrays",
    SwapsResults: "same arrays",
    NewArrayEachStep: "addresses",
    LeavesTheSpace: "observations in space",
    ObservesNaN: "observations in space",
    RewardIsNaN: "rewards",
    InfosIsADict: "infos",
    DrawsFromTheGlobalStream: "determinism",
    FlagsNeverZeroed: "fresh results",
    FlagClearedByTheRestart: "flags",
    FlagClearedAfterTheLog: "flags",
    LogCountsTwice: "log",
    LogsAnotherReturn: "log",
    LastObservationBesideTheFlag: "autoreset",
    RowNeverWritten: "dead rows",
    OneObject: "separate objects",
    OneStreamForAll: "shared state",
    StateOutsideTheObject: "shared state",
    OneBoardForAll: "shared state",
    WritesAGlobal: "shared state",
    OneDefaultForAll: "shared state",
    OneLevelForAll: "shared state",
    OneCountForAll: "independence",
    StateLeftOut: "saved state",
    TakesAnyActions: "actions",
    KeepsAViewOfItsOldMemory: "bind",
    StaysOpen: "close",
    ClosesOnce: "close",
}
DOUBTS = {FirstObservationAllZeros: "first observation", NotScaled: "scale", MostlyEmptySlots: "dead rows",
          CannotBeCopied: "saved state", CannotBePickled: "saved state", TouchesTheGlobalStream: "random state", hidden(): "found again",
          KeepsOneCacheForAll: "shared state"}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_each_mistake_fails_exactly_the_check_named_after_it(mistake):
    report = check_environment(mistake, steps=200)
    assert report.problems == (MISTAKES[mistake],), f"\n{report}"


@pytest.mark.parametrize("mistake", DOUBTS, ids=lambda mistake: mistake.__name__)
def test_what_will_trouble_training_is_a_doubt_and_no_problem(mistake):
    report = check_environment(mistake, steps=200)
    assert report.ok and report.doubts == (DOUBTS[mistake],), f"\n{report}"


def test_one_gymnasium_environment_for_all_is_noticed_behind_its_wrappers():
    env = gymnasium.make("CartPole-v1")
    assert check_environment(lambda: env, steps=100).problems == ("separate objects",)


@pytest.mark.parametrize("mistake, name", [(OneBoardForAll, "OneBoardForAll.board"), (WritesAGlobal, "FIELD"),
                                           (OneDefaultForAll, "OneDefaultForAll.path"), (OneStreamForAll, "OneStreamForAll.shared")],
                         ids=lambda mistake: str(mistake))
def test_what_two_environments_share_is_named(mistake, name):
    line = next(line for line in check_environment(mistake, steps=200).lines if line.name == "shared state")
    assert line.sentence.startswith(f"{name}") and "is one object for all environments" in line.sentence


def test_what_outlives_a_reset_is_not_blamed_on_the_second_environment():
    """As the world of Box2D does, which BipedalWalker keeps: a play repeats for some time, and then with other last digits."""
    class Wears(Sound):
        def start(self, agents):
            super().start(agents)
            self.starts = getattr(self, "starts", 0) + 1
            self.position[agents] += 0.01 * (self.starts > 750)
    report = check_environment(Wears, steps=200)
    assert "independence" in report.doubts, f"\n{report}"


def test_a_table_that_nobody_writes_may_be_shared():
    assert check_environment(ReadsOneTable, steps=200).problems == check_environment(ReadsOneTable, steps=200).doubts == ()


def test_an_environment_that_calls_sys_exit_does_not_end_the_check():
    def leave(self, action):
        raise SystemExit(0)
    env = type("Leaves", (gymnasium.Env,), {"observation_space": Box(0, 1, (1,)), "action_space": Discrete(2), "step": leave,
                                            "reset": lambda self, **_: (np.ones(1, np.float32), {})})
    assert "play" in check_environment(env).problems
    assert check_environment(lambda: leave(0, 0)).problems == ("construction",)


def test_wrappers_of_local_functions_are_a_doubt_where_a_checkpoint_loses_their_state():
    env = check_environment(lambda: gymnasium.wrappers.TransformReward(gymnasium.make("CartPole-v1"), lambda r: r / 10), steps=100)
    assert env.ok and env.doubts == ("saved state",)


def test_every_check_has_a_mistake_that_fails_it():
    assert set(CHECKS) | {"construction"} == set(MISTAKES.values()) | set(DOUBTS.values())


class NeverEnds(Sound):
    def judge(self):
        self.position[:] = self.position.clip(-0.1, 0.1)


@pytest.mark.parametrize("environment", [
    Sound, "squared", "cartpole", lambda: gymnasium.make("CartPole-v1"), lambda: gymnasium.make("FrozenLake-v1"), envs.load("cartpole"),
], ids=["PufferEnv", "squared", "cartpole", "Gymnasium", "Gymnasium discrete", "native class"])
def test_sound_environments_pass_every_check(environment):
    report = check_environment(environment, steps=300)
    assert report.ok and not report.doubts and len(report.lines) == len(CHECKS) + 1, f"\n{report}"


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.float64])
def test_observations_may_have_any_dtype(dtype):
    class Whole(Sound):
        def __init__(self):
            self.single_observation_space, self.single_action_space, self.num_agents = Box(0, 2, (1,), dtype), Discrete(2), 1
            PufferEnv.__init__(self)
            self.position = np.zeros(1)

        def show(self):
            self.observations[:] = 1 + np.sign(self.position)

        def step(self, actions):
            self.begin_step(actions)
            self.position += 0.2 * (2 * self.actions - 1)
            self.judge()
            self.restart()
            self.final_observations[:] = 1
            self.show()
            return self.finish_step()

    report = check_environment(Whole, steps=200)
    assert report.ok, f"\n{report}"


def test_an_object_is_checked_as_it_is_and_closed():
    for env in (Sound(), envs.make("squared", 3), gymnasium.make("CartPole-v1")):
        report = check_environment(env, steps=200)
        assert report.ok, f"\n{report}"
    assert "no second one" in str(report)


def test_settings_reach_the_environment():
    assert check_environment(Sound, steps=100, num_agents=5).lines[0].sentence == "Sound(num_envs=1, num_agents=5, seed=0)"
    assert check_environment("cartpole", steps=100, continuous=True, num_envs=3).ok
    assert "has no setting 'colour'" in str(check_environment("cartpole", colour="red"))


def test_an_environment_without_ends_is_told_what_it_may_mean():
    report = check_environment(NeverEnds, steps=50)
    assert report.problems == ("flags",) and "no episode ended in 1000 steps of random play" in str(report)
    assert [line.verdict for line in report.lines if line.name in ("log", "autoreset")] == ["skipped", "skipped"]


def test_spaces_that_no_buffer_holds_are_a_problem_of_construction():
    class Nested(gymnasium.Env):
        observation_space, action_space = Dict({"said": Text(5)}), Discrete(2)

    report = check_environment(Nested)
    assert report.problems == ("construction",) and "observation['said']: Text given" in str(report)


# ---------------------------------------------------------------------------------------------------------------- the command

def command(*words):
    return main(["check", *words])


SOURCE = '''
import numpy as np
from gymnasium.spaces import Box, Discrete
from puffer_min.env.puffer_env import PufferEnv

class Count(PufferEnv):
    def __init__(self, target=5, infos=None):
        self.single_observation_space, self.single_action_space = Box(0, 1, (1,), np.float32), Discrete(2)
        self.num_agents, self.target, self.infos = 1, target, infos
        super().__init__()

    def reset(self, seed=None):
        self.begin_reset(seed)
        self.observations[:] = 1
        return self.observations, []

    def step(self, actions):
        self.begin_step(actions)
        self.terminals[:] = self.lengths + 1 >= self.target
        self.observations[:] = 1 - (self.lengths[0] + 1) % self.target / self.target
        return *self.finish_step()[:4], [] if self.infos is None else self.infos
'''


@pytest.fixture
def own_file(tmp_path):
    path = tmp_path / "count.py"
    path.write_text(SOURCE)
    return str(path)


def test_command_checks_a_file_of_ones_own(own_file, capsys):
    assert command(f"{own_file}:Count", "--steps", "50", "--set", "target=7") == 0
    out = capsys.readouterr().out
    assert "count.py:Count: 0 problems, 0 doubts" in out and out.endswith("Nothing was written to disk.\n")
    assert "7 ends seen" in out


def test_settings_may_have_the_names_of_the_checks_own_arguments(own_file, capsys):
    """`--set seed=3` is the constructor's, `--seed` that of the resets; and what a class does not take is its own sentence."""
    assert command("squared", "--steps", "50", "--set", "seed=3") == 0
    assert "seed=3)" in capsys.readouterr().out.splitlines()[0]
    assert command(f"{own_file}:Count", "--steps", "50", "--set", "steps=3") == 1
    line = capsys.readouterr().out.splitlines()[0]
    assert line.startswith("problem  construction") and line.endswith("got an unexpected keyword argument 'steps'")


def test_command_gives_1_on_a_problem(own_file, capsys):
    assert command(f"{own_file}:Count", "--steps", "50", "--set", "infos=word") == 1
    assert "problem  infos" in capsys.readouterr().out


@pytest.mark.parametrize("words, sentence", [
    (["cartpol"], "unknown environment 'cartpol': did you mean 'cartpole'"),
    (["nowhere.py:Thing"], "there is no file nowhere.py"),
    (["no_such_package:Thing"], "No module named 'no_such_package'"),
    (["puffer_min.env.puffer_env:Nothing"], "puffer_min.env.puffer_env has no Nothing; it has PufferEnv"),
    (["cartpole", "--set", "continuous"], "--set continuous given, expected NAME=VALUE"),
])
def test_command_gives_2_when_there_is_no_such_environment(words, sentence, capsys):
    assert command(*words) == 2 and sentence in capsys.readouterr().err


def test_command_knows_a_native_environment_and_a_module(capsys):
    assert command("squared", "--steps", "100", "--num-envs", "2", "--set", "size=5") == 0
    assert command("test_check:Sound", "--steps", "100") == 0
    assert capsys.readouterr().out.count("0 problems") == 2
