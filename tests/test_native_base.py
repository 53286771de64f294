"""The contract that every native environment inherits from its base (envs/core/native.pyx), as claims over all of them."""

import pickle
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import environments
import numpy as np
import pytest
from environments import make, play, random_actions, same, trajectory
from gymnasium import spaces

import envs
from envs.core import freshness
from envs.core.buffers import Buffers

ROOT = Path(__file__).resolve().parents[1]
every_environment = pytest.mark.parametrize("name", environments.names())


# ------------------------------------------------------------------ spaces and buffers

@every_environment
def test_observations_stay_inside_the_declared_space(name):
    env = make(name)
    low, high = env.single_observation_space.low, env.single_observation_space.high
    observations, _ = env.reset(seed=1)
    assert observations.dtype == env.single_observation_space.dtype
    for seen, *_ in [(observations.copy(),), *play(env, environments.steps(name))]:
        assert np.isfinite(seen).all()
        assert (seen >= low).all() and (seen <= high).all()


@every_environment
def test_the_first_observation_after_reset_is_filled(name):
    env = make(name)
    env.observations[...] = 0
    env.reset(seed=1)
    filled = env.observations.reshape(env.num_agents, -1).any(axis=1) | ~env.masks
    assert filled.all() or name in environments.BLANK_AT_FIRST


@every_environment
def test_the_first_observation_is_written_whole_whatever_was_there(name):
    env, first = make(name), []
    for rubbish in (0, 1, 3):
        env.observations[...] = rubbish
        first.append(env.reset(seed=1)[0].copy())
    assert all(np.array_equal(observations, first[0]) for observations in first)


@every_environment
def test_the_same_arrays_at_the_same_addresses_are_returned_at_every_step(name):
    env = make(name)
    first, _ = env.reset(seed=0)
    arrays = (first, env.rewards, env.terminals, env.truncations)
    addresses = [array.ctypes.data for array in env.buffers if array is not None]
    for observations, rewards, terminals, truncations, _ in (env.step(random_actions(env, np.random.RandomState(i))) for i in range(100)):
        assert all(new is old for new, old in zip((observations, rewards, terminals, truncations), arrays, strict=False))
    assert env.reset()[0] is first
    assert [array.ctypes.data for array in env.buffers if array is not None] == addresses


@every_environment
def test_shapes_and_dtypes_are_those_of_the_contract(name):
    env = make(name)
    agents = (env.num_agents,)
    assert env.num_agents == env.num_envs * env.agents_per_env
    assert env.observations.shape == agents + env.single_observation_space.shape
    assert env.observation_space.shape == env.observations.shape
    assert env.action_space.shape == env.actions.shape
    assert env.actions.dtype == (np.float32 if isinstance(env.single_action_space, spaces.Box) else np.int32)
    for array, dtype in ((env.rewards, np.float32), (env.terminals, bool), (env.truncations, bool), (env.masks, bool)):
        assert array.shape == agents and array.dtype == dtype
    assert (env.final_observations is not None) == env.truncates
    assert isinstance(env.reset()[1], list) and isinstance(env.step(env.actions)[-1], list)


@every_environment
def test_bind_writes_into_the_callers_memory(name):
    alone, bound = make(name), make(name)
    memory = Buffers.allocate(3 * bound.num_agents, bound.single_observation_space, bound.single_action_space, bound.truncates)
    memory.observations[...] = 1
    mine = memory.rows(bound.num_agents, 2 * bound.num_agents)
    outside = [np.delete(array, np.s_[bound.num_agents:2 * bound.num_agents], axis=0).copy() for array in memory if array is not None]
    alone.reset(seed=3), bound.reset(seed=3)
    before = list(play(alone, 20)), list(play(bound, 20))
    released = bound.buffers
    bound.bind(mine)
    assert np.array_equal(mine.observations, released.observations), "what was there is taken over"
    kept = [array.copy() for array in released if array is not None]
    after = list(play(alone, 40, seed=9)), list(play(bound, 40, seed=9))
    for one, other in zip(before[0] + after[0], before[1] + after[1], strict=False):
        assert same(one[:4], other[:4])
    assert bound.observations is mine.observations and np.array_equal(mine.observations, alone.observations)
    assert all(np.array_equal(a, b) for a, b in zip(kept, (array for array in released if array is not None), strict=False)), "the old memory is left alone"
    for old, array in zip(outside, (array for array in memory if array is not None), strict=False):
        assert np.array_equal(old, np.delete(array, np.s_[bound.num_agents:2 * bound.num_agents], axis=0)), "not a byte outside the rows"


def test_buffers_can_be_given_to_the_constructor():
    spare = make("squared", 4)
    memory = Buffers.allocate(4, spare.single_observation_space, spare.single_action_space)
    env = envs.make("squared", 4, buffers=memory)
    env.reset(seed=0)
    assert env.observations is memory.observations and memory.observations.any()


@pytest.mark.parametrize("field, wrong, words", [
    ("rewards", np.zeros(4), "rewards: given float64 (4,), expected float32 (4,)"),
    ("observations", np.zeros((4, 120), np.uint8), "observations: given uint8 (4, 120), expected uint8 (4, 121)"),
    ("terminals", [False] * 4, "terminals: given list, expected bool (4,)"),
    ("rewards", np.zeros(8, np.float32)[::2], "rewards: given a strided, misaligned or read-only array"),
])
def test_buffers_that_do_not_fit_are_refused_by_name(field, wrong, words):
    env = make("squared", 4)
    with pytest.raises(ValueError) as error:
        env.bind(env.buffers._replace(**{field: wrong}))
    assert words in str(error.value)
    env.reset(), env.step(env.actions)


# ------------------------------------------------------------------ the border: actions

def wrong_actions(env):
    """(what, actions, error, words) for every way in which actions are wrong."""
    good = np.zeros(env.actions.shape, env.actions.dtype)
    other = np.float64 if good.dtype == np.float32 else np.int64
    yield "dtype", good.astype(other), TypeError, f"given {np.dtype(other)}, expected {good.dtype}"
    yield "bool", good.astype(bool), TypeError, f"given bool, expected {good.dtype}"
    yield "list", good.tolist(), TypeError, "given list, expected a NumPy array"
    yield "none", None, TypeError, "given NoneType, expected a NumPy array"
    yield "objects", good.astype(object), TypeError, f"given object, expected {good.dtype}"
    yield "the other byte order", good.astype(good.dtype.newbyteorder()), TypeError, f"given {good.dtype.newbyteorder()}, expected {good.dtype}"
    yield "no axis", np.array(good[0]), ValueError, f"given shape {good.shape[1:]}, expected {good.shape}"
    yield "too many rows", np.concatenate([good, good]), ValueError, f"given shape {(2 * len(good), *good.shape[1:])}, expected {good.shape}"
    yield "a column", good[:, None], ValueError, f"given shape {(len(good), 1, *good.shape[1:])}, expected {good.shape}"
    for bad in ((np.nan, np.inf, -np.inf) if good.dtype == np.float32 else (-1, 10_000, 2**31 - 1, -2**31)):
        out = good.copy()
        out.reshape(len(good), -1)[-1, -1] = bad
        yield f"value {bad}", out, ValueError, f"agent {len(good) - 1} has"


@every_environment
def test_wrong_actions_are_one_sentence_and_nothing_is_stepped(name):
    env = make(name)
    env.reset(seed=0)
    list(play(env, 5))
    for what, actions, error, words in wrong_actions(env):
        state = env.get_state()
        with pytest.raises(error) as caught:
            env.step(actions)
        assert words in str(caught.value) and "\n" not in str(caught.value), what
        assert all(np.array_equal(a, b) for a, b in zip(state["blocks"], env.get_state()["blocks"], strict=False)), what
        assert np.array_equal(state["buffers"][0], env.observations), what
    env.step(np.zeros(env.actions.shape, env.actions.dtype))


@every_environment
def test_actions_mean_the_same_in_any_order_of_memory(name):
    plain, other = make(name), make(name)
    plain.reset(seed=0), other.reset(seed=0)
    random = np.random.RandomState(0)
    for _ in range(10):
        actions = random_actions(plain, random)
        misaligned = np.frombuffer(b"0" + actions.tobytes(), actions.dtype, offset=1).reshape(actions.shape)
        for same_actions in (np.repeat(actions, 2, axis=0)[::2], actions[::-1].copy()[::-1], np.asfortranarray(actions), misaligned):
            assert same(plain.step(actions)[:4], other.step(same_actions)[:4])


@every_environment
def test_the_actions_at_the_ends_of_the_space_are_taken(name):
    env = make(name)
    env.reset(seed=0)
    space = env.single_action_space
    ends = (space.low, space.high) if isinstance(space, spaces.Box) else (0, getattr(space, "nvec", getattr(space, "n", None)) - 1)
    for end in ends:
        env.step(np.broadcast_to(end, env.actions.shape).astype(env.actions.dtype))


@every_environment
def test_a_step_before_the_first_reset_is_refused(name):
    env = make(name)
    with pytest.raises(RuntimeError, match=r"step\(\) before the first reset: call reset\(seed\)"):
        env.step(env.actions)
    saved = make(name)
    saved.reset()
    env.set_state(saved.get_state())
    env.step(env.actions)


# ------------------------------------------------------------------ determinism

@every_environment
def test_the_same_seed_gives_the_same_trajectory(name):
    one, other = make(name), make(name)
    one.reset(seed=5), other.reset(seed=6)
    list(play(other, 30, seed=1))
    other.reset(seed=5)
    assert same(trajectory(one, environments.steps(name)), trajectory(other, environments.steps(name)))


@every_environment
def test_the_seed_of_make_is_that_of_the_first_reset(name):
    one, other = make(name, seed=11), make(name)
    one.reset(), other.reset(seed=11)
    assert same(trajectory(one, 50), trajectory(other, 50))


@pytest.mark.parametrize("name", [name for name in environments.names() if name not in environments.SEEDLESS])
def test_other_seeds_and_other_environments_of_a_batch_go_other_ways(name):
    """All environments get the same actions, so that only their random streams tell them apart."""
    env, one = make(name, 4), make(name, 1)
    ways = []
    for seed in (0, 1):
        env.reset(seed=seed), one.reset()
        random = np.random.RandomState(0)
        rows = [env.observations.copy()]
        for _ in range(environments.steps(name)):
            actions = random_actions(one, random)
            rows.append(env.step(np.concatenate([actions] * 4))[0].copy())
        ways += list(np.moveaxis(np.stack(rows).reshape(len(rows), 4, -1), 1, 0))
    assert all(not np.array_equal(ways[i], ways[j]) for i in range(8) for j in range(i))


@every_environment
def test_a_batch_may_be_split_without_changing_a_trajectory(name):
    whole, parts = make(name, 8), [make(name, 3, first_env=0), make(name, 5, first_env=3)]
    first = [whole.reset(seed=2)[0].copy()], [np.concatenate([part.reset(seed=2)[0] for part in parts])]
    assert same(*first)
    random = np.random.RandomState(0)
    for _ in range(environments.steps(name)):
        actions = random_actions(whole, random)
        cut = parts[0].num_agents
        together = whole.step(actions)[:4]
        apart = [part.step(rows)[:4] for part, rows in zip(parts, (actions[:cut], actions[cut:]), strict=False)]
        assert same(together, [np.concatenate(pair) for pair in zip(*apart, strict=False)])


@every_environment
def test_environments_in_one_process_do_not_influence_each_other(name):
    alone, beside, other = make(name), make(name), make(name, 2, seed=77)
    alone.reset(seed=4), beside.reset(seed=4), other.reset()
    expected = trajectory(alone, 60)
    rows = []
    for step, _ in zip(play(beside, 60), play(other, 60, seed=3), strict=False):
        rows.append(step[:4])
        make(name, 1, seed=99).reset()
    assert same(expected, [np.stack(column) for column in zip(*rows, strict=False)])


@pytest.mark.parametrize("seed", [-1, 1.5, "7", True])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(ValueError, match="expected a whole number >= 0"):
        make("squared").reset(seed=seed)


@every_environment
def test_a_saved_state_resumes_exactly(name):
    env, fresh = make(name), make(name)
    env.reset(seed=8)
    list(play(env, 33, seed=1))
    state = pickle.loads(pickle.dumps(env.get_state()))
    expected, log = trajectory(env, 200, seed=2), env.log()
    fresh.reset(seed=0)
    list(play(fresh, 10))
    fresh.set_state(state)
    assert same(expected, trajectory(fresh, 200, seed=2)) and fresh.log() == log


def test_a_state_of_another_size_is_refused():
    with pytest.raises(ValueError, match="make the environment with the arguments it was saved with"):
        make("squared", 4).set_state(make("squared", 5).get_state())


# ------------------------------------------------------------------ ends of episodes and the log

@every_environment
def test_the_end_of_an_episode_is_visible_on_its_step_and_only_there(name):
    """The flags seen by the caller are the episodes that the log counts: none is cleared by the reset inside the step."""
    env = make(name, report_interval=0)
    env.reset(seed=0)
    seen = sum(int((terminals | truncations).sum()) for _, _, terminals, truncations, _ in play(env, environments.steps(name)))
    assert seen > 0, "no episode ended: give the environment an entry in environments.STEPS or SMALL"
    assert env.log()["n"] == seen


def test_the_terminal_and_its_reward_come_with_the_first_observation_of_the_next_episode():
    env = make("squared", 1, size=5)
    env.reset(seed=0)
    up = np.ones(1, np.int32)
    ends = [env.step(up) and (bool(env.terminals[0]), float(env.rewards[0]), int(env.observations[0, 12])) for _ in range(60)]
    assert all(reward != 0 and centre == 1 for ended, reward, centre in ends if ended), "the agent is back in the centre"
    assert all(reward == 0 for ended, reward, _ in ends if not ended)
    assert {ended for ended, *_ in ends} == {True, False}


def episodes(rows):
    """Number, mean return and mean length of the episodes that ended in `rows` of (rewards, ended, mask before the step), in float64."""
    returns = np.zeros(rows[0][0].shape)
    lengths = np.zeros(rows[0][0].shape, int)
    done = []
    for rewards, ended, mask in rows:
        returns += rewards
        lengths += mask
        done += list(zip(returns[ended], lengths[ended], strict=False))
        returns[ended] = lengths[ended] = 0
    return len(done), *np.mean(done, axis=0)


@every_environment
def test_the_log_is_the_mean_over_the_episodes_that_ended(name):
    env = make(name, report_interval=0)
    env.reset(seed=0)
    acting, rows = env.masks.copy(), []
    for _, rewards, terminals, truncations, _ in play(env, environments.steps(name)):
        rows.append((rewards, terminals | truncations, acting))
        acting = env.masks.copy()                   # an agent that appears in a step has not acted in it
    log = env.log()
    count, mean_return, mean_length = episodes(rows)
    assert log["n"] == count
    assert log["episode_return"] == pytest.approx(mean_return, rel=1e-4, abs=1e-5)
    assert log["episode_length"] == pytest.approx(mean_length)
    assert set(log) >= {"n", "episode_return", "episode_length", "score", *env.metric_names}
    assert all(np.isfinite(value) for value in log.values())
    assert env.log() == {}, "an episode is reported once"


@every_environment
@pytest.mark.parametrize("interval", [1, 7])
def test_reports_at_any_interval_hold_every_episode_once(name, interval):
    env = make(name, report_interval=interval)
    env.reset(seed=0)
    ended = reported = 0
    total = 0.0
    for step, (_, _, terminals, truncations, infos) in enumerate(play(env, environments.steps(name)), 1):
        ended += int((terminals | truncations).sum())
        assert len(infos) <= (step % interval == 0)
        for info in infos:
            reported += info["n"]
            total += info["n"] * info["episode_return"]
    rest = env.log()
    whole = make(name, report_interval=0)
    whole.reset(seed=0)
    list(play(whole, environments.steps(name)))
    log = whole.log()
    assert reported + rest.get("n", 0) == ended == log["n"]
    assert total + rest.get("n", 0) * rest.get("episode_return", 0) == pytest.approx(log["n"] * log["episode_return"], rel=1e-6, abs=1e-6)


def test_reset_drops_the_running_episodes_and_the_log():
    env = make("squared", 16, report_interval=0)
    env.reset(seed=0)
    list(play(env, 50))
    env.reset()
    assert env.log() == {}
    rows = [(rewards, terminals, 1) for _, rewards, terminals, _, _ in play(env, 60)]
    assert env.log()["episode_length"] == pytest.approx(episodes(rows)[2])


# ------------------------------------------------------------------ the GIL

def test_other_python_threads_run_while_a_batch_is_stepped():
    """With forced switching off, another thread advances between two lines of this one only if `step` lets go of the GIL."""
    env = envs.make("squared", 100_000)
    env.reset(seed=0)
    actions = random_actions(env, np.random.RandomState(0))
    ticks, stop = [0], threading.Event()

    def tick():
        while not stop.is_set():
            ticks[0] += 1
            time.sleep(0)

    interval = sys.getswitchinterval()
    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    sys.setswitchinterval(1000)
    try:
        advanced = False
        for _ in range(500):
            before = ticks[0]
            env.step(actions)
            advanced = advanced or ticks[0] > before
            if advanced:
                break
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join()
    assert advanced


# ------------------------------------------------------------------ life and death, names and settings

@every_environment
def test_closing_twice_is_harmless_and_a_closed_environment_says_so(name):
    env = make(name)
    env.reset(seed=0)
    actions = random_actions(env, np.random.RandomState(0))
    env.close()
    env.close()
    for use in (lambda: env.step(actions), env.reset, env.get_state, lambda: env.set_state({})):
        with pytest.raises(RuntimeError, match=r"is closed or was never prepared; make a new one with envs.make"):
            use()


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="unknown environment 'snke': did you mean 'snake'?"):
        envs.make("snke")


@every_environment
def test_an_unknown_setting_is_named(name):
    with pytest.raises(TypeError, match="'colour'"):
        make(name, colour="red")


@pytest.mark.parametrize("num_envs", [0, -3])
def test_a_batch_without_environments_is_refused(num_envs):
    with pytest.raises(ValueError, match=f"num_envs={num_envs} given, expected a whole number from 1 to 2,147,483,647"):
        envs.make("squared", num_envs)


@every_environment
def test_a_person_can_play_and_see(name):
    env = make(name, 2)
    env.reset(seed=0)
    list(play(env, 10))
    for index in (0, 1):
        image = env.render(index)
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        assert len(np.unique(image.reshape(-1, 3), axis=0)) > 1, "an image of one colour shows nothing"
    for action in (*env.keys.values(), env.idle_action):
        if action is not None:                                  # None: the game waits for a person
            env.step(np.full(env.actions.shape, action, env.actions.dtype))


@every_environment
def test_rendering_changes_nothing(name):
    watched, unwatched = make(name), make(name)
    watched.reset(seed=0), unwatched.reset(seed=0)
    for one, other in zip(play(watched, 40), play(unwatched, 40), strict=False):
        watched.render(0)
        assert same(one[:4], other[:4])


# ------------------------------------------------------------------ stale builds

@pytest.mark.parametrize("module", ["envs.squared", "envs.core.native"])
def test_an_extension_older_than_its_source_is_refused_with_the_command_that_mends_it(module, tmp_path):
    """A copy of the package in which a source was edited and not compiled again."""
    copy = tmp_path / "envs"
    shutil.copytree(ROOT / "envs" / "core", copy / "core", ignore=shutil.ignore_patterns("__pycache__"))
    for file in [ROOT / "envs" / "__init__.py", *(ROOT / "envs").glob("squared.*"), *(ROOT / "envs").glob(".manifest-*.json")]:
        shutil.copy(file, copy)
    command = [sys.executable, "-c", "import envs; print(envs.__file__); envs.make('squared').reset()"]
    fresh = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path), "PATH": ""})
    assert fresh.returncode == 0 and str(tmp_path) in fresh.stdout, fresh.stderr
    with (tmp_path / (module.replace(".", "/") + ".pyx")).open("a") as file:
        file.write("# edited\n")
    stale = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path), "PATH": ""})
    assert stale.returncode != 0
    assert f"ImportError: {module} was compiled from an older source than the one on disk: run `make build`" in stale.stderr


def test_a_changed_base_makes_every_environment_stale(monkeypatch, tmp_path):
    """The hash of a module covers the .pxd files of the base, which fix the layout of its objects."""
    from envs.core import compile_settings
    shutil.copytree(ROOT / "envs", tmp_path / "envs", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    before = {name: compile_settings.source_hash(f"envs.{name}") for name in environments.names()}
    monkeypatch.setattr(compile_settings, "ROOT", tmp_path)
    assert before == {name: compile_settings.source_hash(f"envs.{name}") for name in before}
    with (tmp_path / "envs" / "core" / "native.pxd").open("a") as file:
        file.write("# edited\n")
    assert all(compile_settings.source_hash(f"envs.{name}") != old for name, old in before.items())


def test_a_module_that_a_reader_compiles_elsewhere_is_not_asked_for_a_manifest():
    freshness.require_fresh("cell_1234")
