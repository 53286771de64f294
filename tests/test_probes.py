"""probes: the tasks are as their docstring says, the learner passes them, and a planted bug fails the probe that names it."""

import inspect
import textwrap

import numpy as np
import pytest
import torch

import envs
import puffer_min
from puffer_min.__main__ import main
from puffer_min.commands.check import check_environment
from puffer_min.commands.check.probe import (
    ANSWERS,
    CUT,
    DISCOUNT,
    END,
    ENTROPY,
    MEMORY,
    RATIO,
    SEEN,
    SIGHT,
    SIGN,
    VALUE,
    probe,
)
from puffer_min.learner import ppo
from puffer_min.learner.buffer import RolloutBuffer
from puffer_min.learner.policy import Policy
from puffer_min.learner.ppo import PPO

TASKS = list(ANSWERS)
every_task = pytest.mark.parametrize("task", TASKS)


# ---------------------------------------------------------------------- the tasks

def steps(task, choose, count=400, num_envs=64):
    """`count` steps in which `choose(places, begins)` acts; yields (places before, rewards, ends, truncations, the environment)."""
    env = envs.make("probes", num_envs, task=task, report_interval=0)
    places, begins = env.reset(3)[0].argmax(1), np.ones(num_envs, bool)
    for _ in range(count):
        actions = np.asarray(choose(places, begins), np.int32)
        observations, rewards, terminals, truncations, _ = env.step(actions)
        assert (observations.sum(1) == 1).all()
        yield places, rewards.copy(), terminals.copy(), truncations.copy(), env
        places, begins = observations.argmax(1), terminals | truncations


def always(action):
    return lambda places, begins: np.full(len(places), action)


@every_task
def test_task_keeps_the_contract(task):
    report = check_environment("probes", steps=300, task=task)
    assert report.ok and not report.doubts, f"\n{report}"


def test_one_step_pays_what_its_place_and_action_say():
    pays = {"one_action": lambda place, action: 1, "two_values": lambda place, action: 2 * place - 1,
            "choose": lambda place, action: action, "choose_by_sight": lambda place, action: action == place}
    for task, pay in pays.items():
        for action in range(envs.make("probes", task=task).single_action_space.n):
            for places, rewards, terminals, truncations, _ in steps(task, always(action), 20):
                assert (rewards == pay(places, action)).all() and terminals.all() and not truncations.any()
                assert set(places) == ({0} if task in ("one_action", "choose") else {0, 1})


def test_discount_pays_a_step_later_and_is_cut_where_the_same_would_come():
    for places, rewards, terminals, truncations, env in steps("discount", always(0), 50):
        assert (rewards == (places == 1)).all() and (terminals == (places == 1)).all() and (truncations == (places == 2)).all()
        assert (env.final_observations[truncations].argmax(1) == 1).all()
        assert (env.observations[places == 0].argmax(1) == 1).all()
        assert np.isin(env.observations[terminals | truncations].argmax(1), (0, 2)).all()


def test_recall_is_solved_by_the_first_place_of_the_episode_and_by_nothing_less():
    memory = np.zeros(64, int)

    def remember(places, begins):
        memory[begins] = places[begins]
        return memory

    def never_forget(places, begins):
        memory[places == 1] = 1
        return memory

    def see(places, begins):
        return places

    scores = {}
    for choose in (remember, never_forget, see):
        memory[:] = 0
        *_, (*_, env) = steps("recall", choose, 4000)
        scores[choose] = env.log()["score"]
    assert scores == {remember: 1, never_forget: pytest.approx(0.5, abs=0.02), see: pytest.approx(0.73, abs=0.01)}


@every_task
def test_episodes_begin_equally_often_at_each_first_place(task):
    places = envs.make("probes", 4096, task=task).reset(0)[0].sum(0, dtype=int)
    both = {"two_values": (0, 1), "discount": (0, 2), "choose_by_sight": (0, 1), "recall": (0, 1)}.get(task, (0,))
    assert all(abs(places[place] - 4096 / len(both)) < 120 for place in both) and places.sum() == 4096


def test_a_task_that_there_is_not_is_refused_with_the_names_of_those_that_there_are():
    with pytest.raises(ValueError, match=f"task='recal' given, expected one of {', '.join(map(repr, TASKS))}$"):
        envs.make("probes", task="recal")


# ---------------------------------------------------------------------- the learner

def test_the_learner_passes_every_probe():
    findings = probe()
    assert [outcome.task for outcome in findings.outcomes] == TASKS
    assert {outcome.verdict for outcome in findings.outcomes} == {"passed"}, f"\n{findings}"


LOSS, COLLECT, ENCODE = (ppo, "ppo_loss"), (PPO, "collect"), (Policy, "encode")
DECISION, ESTIMATE = (RolloutBuffer, "record_decision"), (RolloutBuffer, "estimate")
BUGS = {
    "the value is drawn to the advantage": (LOSS, "(values - batch.returns).square()", "(values - batch.advantages).square()", VALUE),
    "no gradient reaches the value": (LOSS, "(values - batch.returns).square()", "(values.detach() - batch.returns).square()", VALUE),
    "no observation reaches the network": (ENCODE, "self.encoder(observations)", "self.encoder(torch.zeros_like(observations))", SEEN),
    "each row keeps its neighbour's observation":
        (DECISION, "= observations[self.agents]", "= observations.roll(1, 0)[self.agents]", SEEN),
    "bootstraps through terminals": (ESTIMATE, "self.values, terminals,", "self.values, torch.zeros_like(terminals),", END),
    "discount not applied": (ESTIMATE, "tables + results), gamma,", "tables + results), 1.0,", DISCOUNT),
    "no bootstrap at truncation": (ESTIMATE, "self.final_values,", "torch.zeros_like(self.final_values),", CUT),
    "advantage with the wrong sign": (LOSS, "policy_loss = -torch.min(", "policy_loss = torch.min(", SIGN),
    "ratio to the log-probabilities of now": (LOSS, "log_probs - batch.log_probs", "log_probs - log_probs", RATIO),
    "the neighbour's action is played": (COLLECT, "copy_(actions)", "copy_(actions.roll(1, 0))", RATIO),
    "entropy with the wrong sign": (LOSS, "- config.ent_coef * entropy", "+ config.ent_coef * entropy", ENTROPY),
    "acts on the neighbour's outputs": (COLLECT, ".sample(outputs,", ".sample(outputs.roll(1, 1),", SIGHT),
    "memory outlives the episode": (COLLECT, "env.truncations))] = 0", "env.truncations))] *= 1", MEMORY),
    "memory is not carried on": (COLLECT, "self.state = state\n", "self.state *= 0\n", MEMORY),
}
"""Name -> (function, code in it, wrong code in its place, what the first probe to fail must suspect)."""

NAMED_BY = {VALUE: "one_action", SEEN: "two_values", END: "discount", DISCOUNT: "discount", CUT: "discount", SIGN: "choose",
            RATIO: "choose", ENTROPY: "choose", SIGHT: "choose_by_sight", MEMORY: "recall"}


def with_bug(function, old, new):
    """`function` with `new` in place of `old` in its source."""
    function = inspect.unwrap(function)
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times in {function.__qualname__}"
    scope = dict(function.__globals__) | {"torch": torch}
    exec(source.replace(old, new), scope)
    return scope[function.__name__]


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_named_by_the_first_probe_that_fails(monkeypatch, name):
    (owner, attribute), old, new, suspect = BUGS[name]
    monkeypatch.setattr(owner, attribute, with_bug(getattr(owner, attribute), old, new))
    for task in TASKS:
        findings = probe(task)
        if not findings.ok:
            break
    assert (task, [outcome.suspect for outcome in findings.failed]) == (NAMED_BY[suspect], [suspect]), str(findings)


# ---------------------------------------------------------------------- one's own network and learner, and the command line

MINE = """
import dataclasses

import torch

from puffer_min.learner.policy import make_policy
from puffer_min.learner.ppo import PPO

def forgetful(spec, config):
    return make_policy(spec, dataclasses.replace(config, recurrent=False))

def blind(spec, config):
    policy = make_policy(spec, config)
    encode = policy.encode
    policy.encode = lambda observations: encode(torch.zeros_like(observations))
    return policy

class Diverging(PPO):
    def estimate(self):
        super().estimate()
        self.buffer.returns[:] = float("inf")
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    return lambda name: f"{tmp_path / 'mine.py'}:{name}"


def probed(capsys, *arguments):
    """(exit status, standard output in lines, standard error)"""
    status = main(["probe", *arguments])
    out, error = capsys.readouterr()
    return status, out.splitlines(), error.strip()


def test_a_network_without_memory_is_not_asked_to_remember(mine, capsys):
    status, lines, _ = probed(capsys, "choose_by_sight", "recall", "--policy", mine("forgetful"))
    assert status == 0 and lines == ["passed   choose_by_sight  score 0.88, expected 0.88",
                                     "skipped  recall           the policy has no memory", "0 of 2 probes failed."]


def test_a_network_that_sees_nothing_fails_where_there_is_something_to_see(mine, capsys):
    status, lines, _ = probed(capsys, "one_action", "two_values", "--policy", mine("blind"))
    assert status == 1 and lines[0].startswith("passed   one_action ")
    assert lines[1].endswith(f"expected -1.00, 1.00; suspect {SEEN}")
    assert lines[2] == "1 of 2 probes failed. Begin with two_values. Slow is not broken: try more total_steps."


def test_a_learner_that_diverges_has_failed(mine, capsys):
    status, lines, _ = probed(capsys, "one_action", "--learner", mine("Diverging"))
    assert status == 1 and lines[0].startswith("failed   one_action       training stopped at step 0: returns holds a NaN or an infinity;")


def test_settings_reach_the_learner_however_it_collects(capsys):
    few = ["--set", "total_steps=2048"]
    assert probed(capsys, "one_action", *few)[0] == 1
    ways = ["--set", "backend=thread", "--set", "num_workers=2", "--set", "batch_envs=128", "--set", "learning_rate=0.02"]
    assert probed(capsys, "two_values", *ways) == (0, ["passed   two_values       value(0) -1.00, value(1) 1.00, expected -1.00, 1.00",
                                                       "0 of 1 probes failed."], "")


@pytest.mark.parametrize("arguments, sentence", [
    (["recal"], "task='recal' given, expected one of "), (["--set", "gamma=0.9"], "gamma=0.9 given, expected none: the right answers need"),
    (["--set", "gama=0.9"], "there is no setting 'gama': did you mean 'gamma'?"), (["--set", "horizon"], "--set horizon given, expected NAME=VALUE"),
    (["--learner", "nowhere.py:PPO"], "there is no file nowhere.py"),
])
def test_what_cannot_be_probed_is_said_in_a_sentence(arguments, sentence, capsys):
    status, lines, error = probed(capsys, *arguments)
    assert (status, lines) == (2, []) and error.startswith(sentence)


def test_the_same_seed_gives_the_same_findings_and_torchs_settings_stay():
    before = torch.get_num_threads(), torch.get_rng_state()
    first, again = (puffer_min.probe("choose", seed=5, total_steps=20_480) for _ in range(2))
    assert first == again and torch.get_num_threads() == before[0] and torch.get_rng_state().equal(before[1])
