"""Names of environments: native, registered, Gymnasium's ids; and files of one's own, compiled or not, that `new` writes."""

import os
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

import envs
import puffer_min
from puffer_min.__main__ import main
from puffer_min.commands import locate
from puffer_min.commands.game import Game
from puffer_min.commands.new import write_template
from puffer_min.commands.new.compiled import key_of, load_compiled
from puffer_min.commands.train import train
from puffer_min.vector import make_vec


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder, and a cache of its own; the files that were loaded from it are forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PUFFER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(envs, "_registered", {})
    return envs.register


# ---------------------------------------------------------------------- names

def test_a_gymnasium_id_makes_what_gymnasium_makes():
    by_name, by_function = (make_vec(maker, 2, seed=3) for maker in ("CartPole-v1", lambda: gymnasium.make("CartPole-v1")))
    assert np.array_equal(by_name.reset(3)[0], by_function.reset(3)[0]) and locate.name_of(by_name) == "CartPole-v1"
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        make_vec("CartPole-v1", 1, env_settings={"lenght": 3})
    assert make_vec("CartPole-v1", 1, env_settings={"sutton_barto_reward": True}).num_envs == 1


def test_a_worker_process_makes_the_id_as_well():
    with make_vec("CartPole-v1", 2, num_workers=2, backend="process", start_method="spawn") as vec:
        assert vec.reset(0)[0].shape == (2, 4)


def test_ids_of_packages_are_found_without_importing_the_package():
    code = "import envs; print(envs.find('MiniGrid-Empty-5x5-v0')().unwrapped.grid.width)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "5"


def test_a_native_name_wins_and_a_registered_one_is_found_everywhere(registered, tmp_path):
    registered("mine", lambda: gymnasium.make("CartPole-v1", max_episode_steps=7))
    assert envs.find("squared") is envs.load("squared") and make_vec("mine", 2).num_envs == 2
    result = train("mine", total_steps=1, num_envs=2, horizon=16, backend="serial", run_dir=tmp_path)
    assert puffer_min.evaluate("mine", result.policy, episodes=4)["episode_length"] == 7
    assert train("mine", total_steps=100, resume=result.checkpoint).history[-1]["step"] == 128
    with pytest.raises(ValueError, match="'squared' is a native environment, expected another name"):
        registered("squared", lambda: None)
    with pytest.raises(TypeError, match=r"register\('mine', 3\) given, expected a name and a class or function"):
        registered("mine", 3)


@pytest.mark.parametrize("given, near", [("sqared", "squared"), ("LunarLandr-v3", "LunarLander-v3"), ("CartPole-v9", "CartPole-v1"),
                                         ("cartpol", "cartpole"), ("lunarlander-v3", "LunarLander-v3"), ("my_gaem", "my_game")])
def test_the_nearest_name_of_all_kinds_is_suggested(registered, given, near):
    registered("my_game", lambda: None)
    for refuse in (make_vec, train, locate.load_environment, puffer_min.check_environment):
        with pytest.raises(ValueError, match=f"unknown environment '{given}': did you mean '{near}'"):
            refuse(given)


def test_the_command_line_takes_ids(here, capsys):
    assert main(["train", "CartPole-v1", "--total-steps", "1", "--num-envs", "2", "--run-dir", "run", "--dashboard", "none"]) == 0
    assert main(["eval", "CartPole-v1", "--checkpoint", "run/checkpoint.pt", "--episodes", "2"]) == 0
    assert "Played 2 episodes of CartPole-v1" in capsys.readouterr().out
    assert main(["bench", "CartPole-v1", "--seconds", "0.02"]) == 0
    assert "CartPole-v1 " in capsys.readouterr().out
    assert main(["check", "CartPole-v1", "--steps", "100"]) == 0


def test_a_game_is_made_from_every_kind_of_name(here):
    write_template("mine.py")
    for name in ("squared", "CartPole-v1", "mine.py"):
        game = Game(locate.make_to_watch(name, seed=1))
        game.step(None)
        assert game.frame().ndim == 3 and game.steps == 1


# ---------------------------------------------------------------------- files of one's own

def test_new_writes_an_environment_in_python_that_passes_check_and_learns(here, capsys):
    assert main(["new", "my_env"]) == 0 and "python -m puffer_min train my_env.py" in capsys.readouterr().out
    assert main(["check", "my_env.py"]) == 0 and "my_env.py: 0 problems, 0 doubts" in capsys.readouterr().out
    result = train(locate.environment("my_env.py"), total_steps=20_000, backend="serial", seed=1, run_dir="run")
    assert result.env_name == "MyEnv" and result.history[-1]["score"] > 0.4 > 0.2       # at random 0.2
    assert main(["eval", "my_env.py", "--checkpoint", "run/checkpoint.pt", "--episodes", "5"]) == 0


def test_new_writes_a_compiled_environment_that_passes_check_and_learns(here, capsys):
    assert main(["new", "falling_fruit.pyx"]) == 0
    assert main(["check", "falling_fruit.pyx"]) == 0
    said = capsys.readouterr()
    assert "falling_fruit.pyx: 0 problems, 0 doubts" in said.out and said.err.count("compiling falling_fruit.pyx") == 1
    kind = load_compiled("falling_fruit.pyx")
    assert kind is load_compiled("falling_fruit.pyx") and kind.native and kind.__name__ == "FallingFruit"
    result = train(kind, total_steps=400_000, num_envs=256, minibatch_size=2048, torch_threads=1, seed=1, run_dir="run")
    assert result.history[-1]["score"] > 0.6 and "compiling" not in capsys.readouterr().err
    assert main(["eval", "falling_fruit.pyx", "--checkpoint", "run/checkpoint.pt", "--episodes", "5"]) == 0
    assert main(["bench", "falling_fruit.pyx", "--seconds", "0.02"]) == 0
    with make_vec(kind, 4, num_workers=2, backend="process", start_method="spawn") as vec:
        assert vec.reset(0)[0].shape == (4, 50)


def test_an_edited_source_is_another_module(here):
    path = write_template("mine", compiled=True)
    before = key_of(path)
    path.write_text(path.read_text() + "\n# changed\n")
    assert key_of(path) != before


def test_a_source_that_cython_refuses_is_told_in_a_sentence_with_its_place(here, capsys):
    path = write_template("mine.pyx")
    path.write_text(path.read_text().replace("game.row += 1", "game.rwo += 1"))
    line = path.read_text().splitlines().index("            game.rwo += 1") + 1
    assert main(["check", "mine.pyx"]) == 2
    assert f"mine.pyx could not be compiled: mine.pyx:{line}:" in capsys.readouterr().err
    assert [name for name in os.listdir("cache") if not name.startswith(".")] == []


def test_without_a_compiler_or_cython_one_sentence_says_so(here, monkeypatch, capsys):
    write_template("mine.pyx")
    monkeypatch.setenv("CC", "no-such-compiler")
    assert main(["check", "mine.pyx"]) == 2
    assert capsys.readouterr().err.strip() == ("compiling mine.pyx needs a C compiler, and 'no-such-compiler' is not found: install gcc or clang, "
                                               "or set CC")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="compiling mine.pyx needs Cython and setuptools: python -m pip install cython setuptools"):
        load_compiled("mine.pyx")


@pytest.mark.parametrize("name, sentence", [
    ("class", "new class given, expected letters, digits and _, a letter first"), ("a-b", "expected letters, digits and _"),
    ("x.txt", "new x.txt given, expected a name, or a file that ends in .py or .pyx"), ("3d", "a letter first, such as my_env"),
])
def test_a_name_that_is_no_module_is_refused(here, name, sentence):
    with pytest.raises(ValueError, match=sentence):
        write_template(name)
    assert not [path for path in here.iterdir() if path.suffix in (".py", ".pyx")]


@pytest.mark.parametrize("name", ["mine.py", "mine.pyx"])
def test_a_template_over_a_file_is_refused_and_the_file_stays(here, name, capsys):
    (here / name).write_text("my work")
    assert main(["new", name]) == 2
    assert capsys.readouterr().err.strip() == f"{name} exists already and stays as it is: give another name"
    assert (here / name).read_text() == "my work"


def test_a_file_with_several_environments_wants_a_name(here):
    write_template("mine.py")
    (here / "mine.py").write_text((here / "mine.py").read_text() + "\n\nclass Other(Mine):\n    pass\n")
    with pytest.raises(ValueError, match=r"mine.py given, expected one class .* found Mine, Other: name what makes the environment, mine.py:Name"):
        locate.environment("mine.py")
    assert locate.environment("mine.py:Other").__name__ == "Other"


def test_a_missing_file_is_told_how_to_get_one(here):
    with pytest.raises(ValueError, match="there is no file mine.pyx; `python -m puffer_min new mine.pyx` writes one"):
        locate.environment("mine.pyx")
