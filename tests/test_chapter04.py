"""Level 4's libraries are run on equal terms, its changes do what they say, and its prose keeps the form."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import Distribution

from puffer_min.course import peers
from puffer_min.course.checks import level04
from puffer_min.course.peers.__main__ import MOST_STEPS, SEEDS
from puffer_min.course.peers.cleanrl_style import estimate
from puffer_min.course.peers.terms import WIDE, network

ROOT = Path(__file__).resolve().parents[1]
CELLS = json.loads((ROOT / "chapters" / "04_libraries.ipynb").read_text())["cells"]
UPDATE = peers.Terms().batch_size


def source_of(cell):
    return "".join(cell["source"])


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def library(name):
    if name in peers.missing():
        pytest.skip(peers.missing()[name])
    return name


each_library = pytest.mark.parametrize("name", peers.NAMES)


@each_library
def test_a_run_plays_its_budget_and_the_same_seed_plays_the_same(name):
    runs = [peers.run(library(name), steps=UPDATE + 50, seed=seed) for seed in (1, 1, 2)]
    assert all(run.steps == UPDATE + 50 and len(run.actions) == 2 * UPDATE + 50 for run in runs), "the first update is not counted"
    assert runs[0].actions == runs[1].actions != runs[2].actions


@each_library
def test_every_library_has_two_networks_of_the_same_size(name, monkeypatch):
    sizes, theirs = [], torch.optim.Adam.__init__

    def counted(self, params, *args, **kwargs):
        params = list(params)
        sizes.append(sum(p.numel() for p in params))
        theirs(self, params, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "__init__", counted)
    peers.run(library(name), steps=1)
    wanted = sum(p.numel() for net in (network(2, 0.01), network(1, 1.0)) for p in net.parameters())
    assert sizes[-1] == wanted


@each_library
def test_stages_are_shares_of_the_time_and_every_stage_is_seen(name):
    shares, profile = peers.stages(library(name), updates=2)
    assert list(shares) == ["environment", "policy", "update", "bookkeeping"]
    assert all(0 < share < 1 for stage, share in shares.items() if stage != "bookkeeping") and sum(shares.values()) < 1.2
    assert any(row.function == "CartPoleEnv.step" and row.calls >= 2 * UPDATE for row in profile.table)


def test_running_a_library_leaves_torch_as_it_was():
    Distribution.set_default_validate_args(True)
    before = torch.get_num_threads(), torch.get_default_dtype()
    for name in ("TorchRL", "skrl"):
        peers.run(library(name), steps=1)
    assert Distribution._validate_args is True and (torch.get_num_threads(), torch.get_default_dtype()) == before


def test_a_library_that_is_not_installed_is_one_sentence(monkeypatch):
    monkeypatch.setitem(peers.PROGRAMS, "Tianshou", ("tianshou", "tianshou_that_is_nowhere"))
    assert peers.missing() == {"Tianshou": "Tianshou is not installed and is left out: pip install tianshou-that-is-nowhere"} | {
        name: sentence for name, sentence in peers.missing().items() if name != "Tianshou"}
    with pytest.raises(ImportError, match="is not installed and is left out"):
        peers.run("Tianshou", steps=1)
    with pytest.raises(ValueError, match="expected one of 'CleanRL style'"):
        peers.run("RLlib", steps=1)


def test_an_edit_must_be_found_once_and_its_diff_says_what_changed():
    change = peers.edited("CleanRL style", {"ent_coef = terms.ent_coef": "ent_coef = floor"}, floor=0.5)
    assert change.diff.splitlines() == ["-        ent_coef = terms.ent_coef", "+        ent_coef = floor"] and change.lines == 2
    with pytest.raises(ValueError, match="is there 0 times, expected once"):
        peers.edited("CleanRL style", {"no such line": ""})


def test_history_is_the_mean_of_the_last_hundred_episodes_and_solved_needs_a_hundred():
    returns = np.r_[np.full(50, 500.0), np.full(70, 470.0), np.full(100, 490.0)]
    run = peers.Run("toy", None, 1000, 2.0, np.stack([np.arange(220) / 10, np.arange(220), returns], 1))
    means = [entry["episode_return"] for entry in run.history]
    assert np.allclose(means, [returns[max(0, i - 99):i + 1].mean() for i in range(220)])
    assert run.solved_after == next(i for i in range(99, 220) if means[i] >= 475) / 10
    assert run.sps == 500 and run.mean_return == 490


def test_a_run_ends_as_soon_as_the_last_hundred_episodes_have_the_mean_that_was_asked_for():
    run = peers.run("CleanRL style", terms=WIDE, steps=20_000, until=21.0)
    means = [entry["episode_return"] for entry in run.history]
    assert means[-1] >= 21.0 > max(means[99:-1], default=0.0) and run.steps < 20_000
    assert run.steps_to_solve is None and len(run.episodes) >= 100


def test_steps_to_solve_counts_from_the_first_step_on():
    episodes = np.stack([np.arange(150) / 10, 500 + np.arange(150), np.full(150, 480.0)], 1)
    assert peers.Run("toy", None, 1000, 2.0, episodes).steps_to_solve == 599


def test_the_shipped_log_holds_five_seeds_of_every_library_and_all_are_solved():
    log = ROOT / "puffer_min" / "policies" / "libraries.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert sorted((row["library"], row["seed"]) for row in rows) == sorted((name, seed) for name in peers.NAMES for seed in SEEDS)
    assert all(0 < row["steps_to_solve"] <= MOST_STEPS for row in rows)


def test_cleanrl_styles_advantages_are_the_packages_kernel():
    import puffer_min

    rng, terms = np.random.default_rng(0), peers.Terms(num_envs=3, horizon=9)
    values, rewards = (torch.from_numpy(rng.normal(size=(9, 3)).astype(np.float32)) for _ in range(2))
    ends = rng.random((10, 3)) < 0.3                            # row t: an end before step t, as CleanRL keeps them
    state = torch.from_numpy(rng.normal(size=(3, 4)).astype(np.float32)), torch.from_numpy(ends[9].astype(np.float32))
    critic = torch.nn.Linear(4, 1)
    found = estimate(terms, (None, None, None, values, rewards, torch.from_numpy(ends[:9].astype(np.float32))), critic, state)
    following = critic(state[0]).detach().numpy()[:, 0]
    wanted, returns, columns = np.zeros((3, 9), np.float32), np.zeros((3, 9), np.float32), [np.ascontiguousarray(x.numpy().T) for x in (rewards, values)]
    puffer_min.gae(*columns, np.ascontiguousarray(ends[1:].T), np.zeros((3, 9), bool), None, following, wanted, returns, 0.99, 0.95)
    assert np.allclose(found.numpy().T, wanted, atol=1e-5)


def test_reference_of_rollout_gives_rows_whose_returns_bootstrap():
    envs = level04.corridors(1)
    observations, _ = envs.reset(seed=next(seed for seed in range(50) if cut_first(seed)))
    seen, rewards, ends, _ = level04.reference_rollout(envs, lambda o: np.zeros(1, int), level04.opinion, observations, 8, 0.5)
    end = int(np.flatnonzero(ends[:, 0])[0])
    last = np.array([[end + 1.0, seen[0, 0, 1]]])
    assert np.isclose(rewards[end, 0], 0.1 * (end + 1) + 0.5 * level04.opinion(last)[0]) and seen[end + 1, 0, 0] == 0


def cut_first(seed):
    env = level04.Corridor()
    env.reset(seed=seed)
    return env.cut


# The chapter's form

def test_the_chapters_outputs_show_every_library():
    table = next("".join(cell["outputs"][-1]["data"]["text/plain"]) for cell in CELLS if cell["id"] == "equal-run-3")
    assert [name for name in peers.NAMES if name not in table] == [], "run the chapter again where all libraries are installed"


def test_programs_shown_are_the_packages_present_ones():
    import inspect

    for cell, name in (("sb3-program", "Stable-Baselines3"), ("cleanrl-program", "CleanRL style"), ("tianshou-program", "Tianshou"),
                       ("torchrl-program", "TorchRL")):
        shown = "".join(next(c for c in CELLS if c["id"] == cell)["outputs"][0]["data"]["text/markdown"])
        assert shown == f"```python\n{inspect.getsource(peers.program(library(name)))}```", "run the chapter again and commit it"
