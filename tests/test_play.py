"""The terminal game: half blocks, keys, and a terminal that is given back whatever happens. Real pseudo-terminals throughout."""

import argparse
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import contextmanager

import numpy as np
import pytest

import envs
import puffer_min
from puffer_min.commands import play
from puffer_min.commands.game import Game

PLAY = [sys.executable, "-m", "puffer_min", "play"]


class Window:
    """A program in a pseudo-terminal of 100 x 30, and everything it has written so far."""

    def __init__(self, arguments, cwd):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.program = subprocess.Popen([*PLAY, *arguments], stdin=self.slave, stdout=self.slave, stderr=self.slave,
                                        cwd=cwd, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                                        env=os.environ | {"PYTHONPATH": os.getcwd()})
        self.text = ""

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def read(self) -> bool:
        if not select.select([self.master], [], [], 0.05)[0]:
            return False
        try:
            data = os.read(self.master, 1 << 16)
        except OSError:
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def expect(self, words: str, seconds=60) -> None:
        """Wait until `words` appear after what was expected before."""
        deadline = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < deadline, f"{words!r} never came; the end of what did: {self.text[-400:]!r}"
            self.read()
        self.text = self.text[self.text.index(words) + len(words):]

    def end(self) -> int:
        """Exit status, once everything that was written has been read."""
        deadline = time.monotonic() + 60
        while self.program.poll() is None:
            assert time.monotonic() < deadline, f"the program did not end: {self.text[-400:]!r}"
            self.read()
        while self.read():
            pass
        return self.program.returncode


@contextmanager
def window(*arguments, cwd="."):
    opened = Window(arguments, cwd)
    try:
        yield opened
    finally:
        if opened.program.poll() is None:
            opened.program.kill()
            opened.program.wait()
        os.close(opened.master)
        os.close(opened.slave)


def given_back(window) -> bool:
    """Whether the terminal's settings are the old ones and the last control sequences show the cursor and the first screen."""
    return termios.tcgetattr(window.slave) == window.before and play.LEAVE in window.text


def test_a_paused_game_steps_once_for_each_arrow_key_and_q_gives_the_terminal_back():
    with window("squared", "--fps", "1") as w:
        w.expect("you play")
        w.type(" ")
        w.expect("you play, paused")
        w.type("\x1b[A")
        w.expect("action up")
        w.type("\x1bOD")                                    # an arrow in application mode
        w.expect("action left")
        w.type("d")
        w.expect("action right")
        w.type("q")
        assert w.end() == 0
        assert given_back(w)
        assert re.search(r"Played squared for [3-9] steps, \d episodes? finished\. Nothing was written to disk\.", w.text)


def test_the_game_goes_on_by_itself_and_ctrl_c_ends_it():
    with window("squared", "--fps", "60") as w:
        w.expect("step 40 ")
        w.type("\x03")
        assert w.end() == 0
        assert given_back(w)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_the_terminal_back(number):
    with window("squared") as w:
        w.expect("you play")
        w.program.send_signal(number)
        assert w.end() == 128 + number
        assert given_back(w)


BROKEN = """
import numpy as np
from gymnasium.spaces import Box, Discrete
from puffer_min.env.puffer_env import PufferEnv

class Broken(PufferEnv):
    keys = {"ArrowUp": 0}
    def __init__(self):
        self.single_observation_space, self.single_action_space, self.num_agents = Box(0, 1, (3,), np.uint8), Discrete(2), 1
        super().__init__()
        self.count = 0
    def reset(self, seed=None):
        self.begin_reset(seed)
        return self.observations, []
    def step(self, actions):
        self.begin_step(actions)
        self.count += 1
        if self.count == 3:
            raise RuntimeError("the third step is one too many")
        return self.finish_step()
    def render(self, index=0):
        return np.zeros((8, 8, 3), np.uint8)
"""


def test_an_environment_that_fails_gives_the_terminal_back_and_says_where(tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    with window("broken.py:Broken", "--fps", "60", cwd=tmp_path) as w:
        assert w.end() == 1
        assert given_back(w)
        assert "stopped at step 3: RuntimeError: the third step is one too many" in w.text


def arguments(*words):
    parser = argparse.ArgumentParser()
    play.add_arguments(parser)
    return parser.parse_args(words)


def test_without_a_terminal_one_sentence_says_so():
    found = subprocess.run([*PLAY, "squared"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert found.returncode == 2 and found.stdout == ""
    assert found.stderr.count("\n") == 1 and "needs a terminal" in found.stderr


@pytest.mark.parametrize("words, sentence", [
    (("squarde",), "did you mean 'squared'"),
    (("squared", "--fps", "0"), "--fps 0 given, expected a number from 1 to 60"),
    (("squared", "--agent", "3"), "agent=3 given, expected a row from 0 to 0"),
    (("squared", "--set", "size=4"), "size=4 given, expected an odd number"),
    (("squared", "--policy", "net.py:Net"), "--policy net.py:Net given without --checkpoint, expected both"),
])
def test_bad_arguments_are_one_sentence(words, sentence):
    with pytest.raises((ValueError, TypeError), match=re.escape(sentence)):
        play.make_game(arguments(*words))


def test_settings_reach_the_environment():
    assert play.make_game(arguments("squared", "--set", "size=5")).env.size == 5


@pytest.mark.parametrize("name, shape", [("pong", (1, 4, 8)), ("CartPole-v1", (1, 4, 4))])
def test_a_game_of_stacked_frames_is_played_as_well(name, shape):
    game = play.make_game(arguments(name, "--set", "frame_stack=4"))
    game.step()
    assert game.observations.shape == shape and game.frame().ndim == 3 and game.legend()


def test_a_checkpoint_plays_with_the_settings_it_was_trained_with(tmp_path):
    result = puffer_min.train("squared", total_steps=2048, num_envs=64, minibatch_size=2048, run_dir=tmp_path, env_settings={"size": 5})
    game = play.make_game(arguments("squared", "--checkpoint", str(result.checkpoint)))
    assert game.env.size == 5 and game.controller == "policy"
    game.step()
    factory = ("--policy", "puffer_min.learner.policy:make_policy")
    assert play.make_game(arguments("squared", "--checkpoint", str(result.checkpoint), *factory)).controller == "policy"
    with pytest.raises(ValueError, match="there is no file net.py"):
        play.make_game(arguments("squared", "--checkpoint", str(result.checkpoint), "--policy", "net.py:Net"))
    with pytest.raises(ValueError, match="is a checkpoint of squared, expected one of cartpole"):
        play.make_game(arguments("cartpole", "--checkpoint", str(result.checkpoint)))


# ---------------------------------------------------------------------- pictures

def test_half_blocks_carry_the_pixels_upper_as_ink_and_lower_as_paper():
    image = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3)
    rows = play.half_blocks(image, columns=3, lines=2)
    assert len(rows) == 2
    numbers = [list(map(int, re.findall(r"8;2;(\d+);(\d+);(\d+)m", row)[i])) for row in rows for i in range(6)]
    assert numbers == [list(image[y + lower, x]) for y in (0, 2) for x in range(3) for lower in (0, 1)]
    assert all(row.count("▀") == 3 and row.endswith("\x1b[0m") for row in rows)


def test_equal_neighbours_cost_one_character():
    row, = play.half_blocks(np.full((2, 50, 3), 7, np.uint8), columns=50, lines=1)
    assert row == "\x1b[38;2;7;7;7m\x1b[48;2;7;7;7m" + "▀" * 50 + "\x1b[0m"


@pytest.mark.parametrize("shape, columns, lines", [((264, 264), 80, 21), ((240, 480), 80, 21), ((10, 200), 30, 20), ((3, 3), 100, 40)])
def test_a_picture_fits_the_window_and_keeps_its_proportions(shape, columns, lines):
    rows = play.half_blocks(np.zeros((*shape, 3), np.uint8), columns, lines)
    width, height = rows[0].count("▀"), 2 * len(rows)
    assert width <= columns and len(rows) <= lines
    factor = min(columns / shape[1], 2 * lines / shape[0])
    assert abs(width - shape[1] * factor) <= 1 and abs(height - shape[0] * factor) <= 2


def test_shrinking_takes_means_and_enlarging_repeats():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2, :2] = [[[0], [100]], [[100], [200]]]
    assert (play.shrink(image, 2, 2)[..., 0] == [[100, 0], [0, 0]]).all()
    assert (play.shrink(image, 8, 8) == image.repeat(2, 0).repeat(2, 1)).all()


# ---------------------------------------------------------------------- the loop, on a terminal that is a list of keys

class Script:
    """A terminal that types the given keys, one a step, then q; keeps what it was shown."""

    def __init__(self, *keys):
        self.left, self.shown = [*keys, "q"], []

    def keys(self, seconds):
        return [self.left.pop(0)]

    def show(self, image, text):
        self.shown.append((image, text))


def play_script(game, *keys):
    script = Script(" ", *keys)
    play.Session(game, script, fps=10).run()
    return script


def test_n_steps_r_restarts_and_p_passes_the_controls():
    game = Game(envs.make("squared"), lambda observations: np.array([4], np.int32), controller="human")
    script = play_script(game, "n", "n", "p", "n")
    assert (game.steps, game.controller, game.describe(game.action)) == (3, "policy", "right")
    assert "the policy plays" in script.shown[-1][1][1]
    play_script(game, "r")
    assert game.steps == 0


def test_a_key_of_the_environment_is_never_a_command():
    env = envs.make("breakout")
    assert " " in env.keys
    game = Game(env)
    play.Session(game, Script(" "), fps=10).run()
    assert " " not in play.Session(game, Script(), fps=10).commands


def test_plus_and_minus_change_the_speed_within_bounds():
    session = play.Session(Game(envs.make("squared")), Script(), fps=10)
    for change, end in ((session.faster, 60), (session.slower, 1)):
        passed = []
        while session.fps != end:
            passed.append(session.fps)
            change()
        assert len(set(passed)) == len(passed)
        change()
        assert session.fps == end


def test_keys_are_read_out_of_bytes_whole():
    master, slave = pty.openpty()
    terminal = play.Terminal()
    terminal.input = slave
    settings = termios.tcgetattr(slave)
    settings[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(slave, termios.TCSANOW, settings)
    os.write(master, b"a\x1b[A\x1bOB\x1b[1;5C \x1b")
    assert terminal.keys(5) == ["a", "ArrowUp", "ArrowDown", "ArrowRight", " ", "Escape"]
    assert terminal.keys(0) == []
    os.close(master)
    os.close(slave)
