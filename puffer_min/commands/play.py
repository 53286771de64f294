"""`python -m puffer_min play snake`: play an environment in the terminal, or watch a checkpoint play it.

A character shows two pixels: the upper half block "▀" in the colour of the upper pixel, on the colour of the
lower one. The picture of `render()` is shrunk to fit the window, which may be resized at any time.

A terminal reports that a key goes down, not that it comes up: a key counts for one step, and holding it
repeats it. The terminal's settings are restored, whatever ends the game: q, Ctrl-C, an error, SIGTERM or a
closed window.
"""

import contextlib
import os
import re
import select
import shutil
import signal
import sys
import time

import numpy as np

from puffer_min.commands import locate
from puffer_min.commands.game import Game

try:
    import termios
    import tty
except ImportError:                     # Windows
    termios = tty = None

ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"                         # the alternate screen, no cursor
LEAVE = "\x1b[0m\x1b[?25h\x1b[?1049l"
NAMES = {"A": "ArrowUp", "B": "ArrowDown", "C": "ArrowRight", "D": "ArrowLeft"}
SYMBOLS = {"ArrowUp": "↑", "ArrowDown": "↓", "ArrowLeft": "←", "ArrowRight": "→", " ": "space"}
KEY = re.compile(r"\x1b[\[O](?:\d+(?:;\d+)?)?([A-Za-z~])|\x1b|(.)", re.DOTALL)
TEXT_LINES = 3
SMALLEST = (20, 8)                      # columns, lines
SPEEDS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60)        # steps a second


# ---------------------------------------------------------------------- pictures

def shrink(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """An RGB image of another size: means of blocks where it shrinks, repeated pixels where it grows."""
    result = image.astype(np.float32)
    for axis, size in enumerate((height, width)):
        edges = np.linspace(0, image.shape[axis], size + 1).astype(int)
        counts = np.maximum(np.diff(edges), 1).reshape([-1 if i == axis else 1 for i in range(3)])
        result = np.add.reduceat(result, edges[:-1], axis) / counts
    return result.round().astype(np.uint8)


def half_blocks(image: np.ndarray, columns: int, lines: int) -> list[str]:
    """An RGB image as at most `lines` lines of at most `columns` half blocks; proportions are kept."""
    factor = min(columns / image.shape[1], 2 * lines / image.shape[0])
    width, height = max(1, int(image.shape[1] * factor)), max(2, int(image.shape[0] * factor) // 2 * 2)
    rows = []
    for upper, lower in shrink(image, height, width).reshape(height // 2, 2, width, 3):
        text, ink, paper = [], None, None
        for above, below in zip(map(tuple, upper.tolist()), map(tuple, lower.tolist()), strict=True):
            if above != ink:
                text.append("\x1b[38;2;{};{};{}m".format(*above))
            if below != paper:
                text.append("\x1b[48;2;{};{};{}m".format(*below))
            ink, paper = above, below
            text.append("▀")
        rows.append("".join(text) + "\x1b[0m")
    return rows


# ---------------------------------------------------------------------- the terminal

class Terminal:
    """The terminal of a game in a `with` block: keys without Enter, the alternate screen, no cursor."""

    def __enter__(self):
        self.input, self.output = sys.stdin.fileno(), sys.stdout
        self.before = termios.tcgetattr(self.input)
        signals = signal.SIGTERM, signal.SIGHUP
        self.handlers = {number: signal.signal(number, self.leave) for number in signals}
        try:
            tty.setcbreak(self.input)
            settings = termios.tcgetattr(self.input)
            disabled = os.fpathconf(self.input, "PC_VDISABLE")
            settings[6][termios.VSUSP] = disabled       # no Ctrl-Z: it would leave the alternate screen
            termios.tcsetattr(self.input, termios.TCSANOW, settings)
            self.write(ENTER)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        with contextlib.suppress(OSError):              # the window is gone
            self.write(LEAVE)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self.input, termios.TCSAFLUSH, self.before)
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def leave(self, number, frame):
        raise SystemExit(128 + number)

    def write(self, text: str) -> None:
        self.output.write(text)
        self.output.flush()

    def keys(self, seconds: float) -> list[str]:
        """Browser names of the keys that go down within `seconds`; returns at once when there are any."""
        if not select.select([self.input], [], [], max(0.0, seconds))[0]:
            return []
        data = os.read(self.input, 1024)
        if not data:
            raise EOFError("the terminal was closed")
        found = KEY.findall(data.decode(errors="ignore"))
        return [NAMES.get(letter, "") if letter else character or "Escape" for letter, character in found]

    def show(self, image: np.ndarray, text: list[str]) -> None:
        """A picture and the lines under it."""
        columns, lines = shutil.get_terminal_size()
        if columns < SMALLEST[0] or lines < SMALLEST[1]:
            picture = [f"{columns} x {lines} is too small"[:columns]]
        else:
            picture = half_blocks(image, columns, lines - TEXT_LINES)
        lines = picture + [line[:columns - 1] for line in text]
        self.write("\x1b[H" + "\r\n".join(line + "\x1b[K" for line in lines) + "\x1b[J")


# ---------------------------------------------------------------------- the game

class Session:
    """The loop of a game: at most `fps` steps a second. Keys without an action steer the session."""

    def __init__(self, game: Game, terminal: Terminal, fps: int):
        self.game, self.terminal, self.fps = game, terminal, fps
        self.paused, self.ended, self.notice, self.until = False, False, "", 0.0
        commands = {" ": (self.pause, "pause"), "n": (self.once, "step"), "r": (game.restart, "restart"),
                    "p": (self.pass_controls, "who plays"), "+": (self.faster, "faster"),
                    "-": (self.slower, "slower"), "q": (self.quit, "quit"), "Escape": (self.quit, "")}
        self.commands = {key: command for key, command in commands.items() if key not in game.keys}

    def run(self) -> None:
        """Play until q, Esc or Ctrl-C."""
        pressed, due = None, time.monotonic()
        self.draw()
        while not self.ended:
            for key in self.terminal.keys(due - time.monotonic() if not self.paused else 3600.0):
                if key in self.commands:
                    self.commands[key][0]()
                elif key in self.game.keys:
                    pressed = key
                    if self.paused:
                        self.step(key)
                        pressed = None
                self.draw()
            if self.paused:
                due = time.monotonic()
            elif time.monotonic() >= due:
                self.step(pressed)
                pressed = None
                due = max(due + 1 / self.fps, time.monotonic())
                self.draw()

    def step(self, key: str | None) -> None:
        game = self.game
        game.step(key)
        if game.ended:
            result = f"return {game.last_return:g} in {game.last_length} steps"
            self.notice = f"episode {game.episodes} over: {result}"
            self.until = time.monotonic() + 2

    def pause(self) -> None:
        self.paused = not self.paused

    def once(self) -> None:
        self.paused = True
        self.step(None)

    def pass_controls(self) -> None:
        """Pass the controls from the person to the policy (without one, to random actions), and back."""
        if self.game.controller != "human":
            self.game.take_over("human" if self.game.keys else "random")
        else:
            self.game.take_over("policy" if self.game.policy is not None else "random")

    def faster(self) -> None:
        self.fps = min((speed for speed in SPEEDS if speed > self.fps), default=SPEEDS[-1])

    def slower(self) -> None:
        self.fps = max((speed for speed in SPEEDS if speed < self.fps), default=SPEEDS[0])

    def quit(self) -> None:
        self.ended = True

    def draw(self) -> None:
        game = self.game
        numbers = (f"step {game.steps}  action {game.describe(game.action)}  reward {game.reward:g}  "
                   f"return {game.episode_return:g}  length {game.episode_length}  episodes {game.episodes}")
        who = {"human": "you play", "policy": "the policy plays", "random": "chance plays"}[game.controller]
        state = f"{who}, {'paused' if self.paused else f'{self.fps} FPS'}"
        shown = [("/".join(SYMBOLS.get(key, key) for key in keys), words) for keys, words in game.legend()]
        legend = "  ".join(f"{keys} {words}" for keys, words in shown)
        commands = "  ".join(f"{SYMBOLS.get(key, key)} {words}" for key, (_, words) in self.commands.items()
                             if words)
        notice = self.notice if time.monotonic() < self.until else state
        self.terminal.show(game.frame(), [numbers, notice, f"{legend}  |  {commands}"])


def add_arguments(parser) -> None:
    """The arguments of `python -m puffer_min play`."""
    locate.add_environment(parser)
    parser.add_argument("--checkpoint", metavar="FILE",
                        help="let the policy of this checkpoint play; p takes over and gives back")
    locate.add_policy(parser)
    parser.add_argument("--fps", type=int, default=10,
                        help=f"steps a second, {SPEEDS[0]} to {SPEEDS[-1]} (10)")
    parser.add_argument("--agent", type=int, default=0, help="the agent to drive and to watch (0)")


def make_game(args) -> Game:
    """The game that the arguments describe. Raises ValueError, TypeError, ImportError or OSError."""
    if not SPEEDS[0] <= args.fps <= SPEEDS[-1]:
        raise ValueError(f"--fps {args.fps} given, expected a number from {SPEEDS[0]} to {SPEEDS[-1]}")
    if args.policy and not args.checkpoint:
        raise ValueError(f"--policy {args.policy} given without --checkpoint, expected both: it makes the "
                         "network of a checkpoint")
    settings, policy = dict(locate.parse_setting(text) for text in args.set), None
    if args.checkpoint:
        from puffer_min.learner import checkpoint  # brings torch, which takes a second or two
        from puffer_min.learner.actor import Actor
        contents = checkpoint.read_checkpoint(args.checkpoint)
        if contents["env_name"] == args.environment.rpartition(":")[2]:
            settings = contents["env_settings"] | settings
    env = locate.make_to_watch(args.environment, args.seed, settings)
    if args.checkpoint:
        checkpoint.require_same_environment(contents, args.checkpoint, env, locate.name_of(env))
        factory = args.policy and locate.load_object(args.policy)
        policy = Actor(checkpoint.policy_from(contents, args.checkpoint, factory), seed=args.seed)
    game = Game(env, policy, agent=args.agent, seed=args.seed)
    game.frame()                        # an environment that cannot be drawn says so on the user's own screen
    return game


def run(args) -> int:
    """Play until q. Returns 0; 1 if the environment failed; 2 without a terminal or such an environment."""
    if termios is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        print("play needs a terminal for its keys and its picture, and there is none here; "
              "in a notebook use puffer_min.course.Player.", file=sys.stderr)
        return 2
    try:
        game = make_game(args)
    except (ValueError, TypeError, ImportError, OSError, NotImplementedError) as error:
        print(error, file=sys.stderr)
        return 2
    try:
        with contextlib.suppress(KeyboardInterrupt, EOFError), Terminal() as terminal:
            Session(game, terminal, args.fps).run()
    except Exception as error:          # the environment or the policy may fail in any way
        what = f"{type(error).__name__}: {error}"
        print(f"{args.environment} stopped at step {game.steps + 1}: {what}", file=sys.stderr)
        return 1
    count, ends = game.steps, game.episodes
    print(f"Played {args.environment} for {count} step{'s' * (count != 1)}, "
          f"{ends} episode{'s' * (ends != 1)} finished. Nothing was written to disk.")
    return 0
