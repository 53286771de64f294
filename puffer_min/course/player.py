"""`Player`: play an environment in the notebook, watch a policy play it, take over in mid-game.

    player = Player(envs.make("snake"), policy)
    player                                      # the last expression of a cell shows it

The page's own timer asks for each step ("tick", with the key that is held). It leaves at most four questions
unanswered, so nothing piles up when the kernel is slow, and asks nothing when the picture is not on the
screen. Pictures travel as PNG in the binary part of the widget's messages; the page enlarges them with
nearest neighbour. Without a page (nbclient, nbval, a plain script) the object is the same: `press` and `step`
do what a person would do.

The output also holds a film strip of the game's first seconds: that is what readers of the saved notebook see
where no kernel runs.
"""

from __future__ import annotations

import base64
import struct
import threading
import zlib
from pathlib import Path

import anywidget
import numpy as np
import traitlets
from matplotlib import colormaps

from puffer_min.commands.game import CONTROLLERS, Game
from puffer_min.commands.locate import make_to_watch
from puffer_min.course.film import film_strip
from puffer_min.course.plots import Plot

SIDE = 440                      # pixels: small pictures are enlarged by a whole number up to this side
SLOWEST, FASTEST = 2, 60        # frames a second
VALUES = 16                     # numbers of an observation that is no grid
MOMENTS = 5                     # pictures of the film strip, a second apart
SHADES = (np.asarray(colormaps["cividis"].colors) * 255).round().astype(np.uint8)


def png(image: np.ndarray) -> bytes:
    """An RGB array as PNG bytes: rows unfiltered, lightly compressed.

    On flat game pictures up to five times as fast as Pillow, which tries five filters on every row.
    """
    height, width, _ = image.shape
    # each row begins with its filter's number: 0, none
    rows = np.zeros((height, 1 + 3 * width), np.uint8)
    rows[:, 1:] = image.reshape(height, 3 * width)
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),
              b"IDAT": zlib.compress(rows.tobytes(), 1), b"IEND": b""}
    parts = (struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
             for name, data in chunks.items())
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def observation_grid(observation: np.ndarray) -> np.ndarray | None:
    """One agent's observation as a grid (rows, columns), or None if it is none.

    Two axes are a grid, of several planes the first is taken, and a flat square of at least 3 x 3 is folded.
    """
    if observation.ndim == 3:
        observation = observation[..., 0] if observation.shape[2] <= observation.shape[0] else observation[0]
    if observation.ndim == 1:
        side = round(len(observation) ** 0.5)
        return observation.reshape(side, side) if side >= 3 and side * side == len(observation) else None
    return observation if observation.ndim == 2 else None


def shade(grid: np.ndarray, low: float, high: float) -> np.ndarray:
    """A grid of numbers from `low` to `high` as an RGB picture, dark to light in cividis."""
    fraction = (np.asarray(grid, float) - low) / max(high - low, 1e-9)
    return SHADES[(np.clip(np.nan_to_num(fraction), 0, 1) * (len(SHADES) - 1)).astype(int)]


class Player(anywidget.AnyWidget):
    """A playable picture of `env` in the notebook.

    env         environment of `envs.make`, its name, or a `PufferEnv`; the player resets it and steps it from
                then on
    policy      object with `act(observations) -> actions`, or a function of that kind; None: person or chance
                only
    fps         steps a second, 2 to 60
    agent       row of the agent to drive and to watch; its environment is drawn, the other agents follow the
                policy or chance
    seed        of the first reset and of the random actions
    scale       screen pixels for each pixel of `render()`; by default small pictures are enlarged to about
                440 pixels
    controller  "human", "policy" or "random"; by default the policy if there is one, else a person
    show_observation  show beside the picture what the agent sees

    Click the picture to play. Keys: those of the environment, and where it does not use them: space plays and
    pauses, n steps once, r restarts, p passes the controls between person and policy. While paused a game key
    makes one step. From Python: `press(key)`, `step(n)`, `restart()`, `readout`, `game`, and the attributes
    `fps`, `playing`, `controller`, `show_observation`, which follow the page and may be set. An error raised
    by the environment or the policy is shown under the picture and stops the play; from Python (`step`) it is
    raised.
    """

    _esm = Path(__file__).with_name("player.js")
    _css = Path(__file__).with_name("player.css")

    picture = traitlets.Bytes().tag(sync=True)
    seen = traitlets.Bytes().tag(sync=True)             # the observation grid, one pixel a cell
    readout = traitlets.Dict().tag(sync=True)
    legend = traitlets.List().tag(sync=True)
    drivers = traitlets.List().tag(sync=True)           # the controllers that there are
    scale = traitlets.Int(1).tag(sync=True)
    fps = traitlets.Int(10).tag(sync=True)
    playing = traitlets.Bool(False).tag(sync=True)
    controller = traitlets.Enum(CONTROLLERS).tag(sync=True)
    show_observation = traitlets.Bool(False).tag(sync=True)

    def __init__(self, env, policy=None, *, fps: int = 10, agent: int = 0, seed: int = 0,
                 scale: int | None = None, controller: str | None = None, show_observation: bool = False):
        env = make_to_watch(env) if isinstance(env, str) else env
        self.game = Game(env, policy, agent=agent, seed=seed, controller=controller)
        # JupyterLab answers the page in another thread than the cells'
        self.lock = threading.RLock()
        self.key, self.tick = None, 0
        self.frame = self.game.frame()
        game = self.game
        super().__init__(
            fps=fps, show_observation=show_observation, controller=game.controller,
            scale=scale or max(1, SIDE // max(self.frame.shape[:2])),
            legend=[[list(keys), words] for keys, words in game.legend()],
            drivers=[name for name in CONTROLLERS if (name != "policy" or policy is not None)
                     and (name != "human" or game.keys)])
        self.look()
        self.observe(self._look_again, "show_observation")
        self.on_msg(self.answer)

    # ------------------------------------------------------------------ from Python

    def press(self, key: str) -> None:
        """Press a key, by its browser name ("ArrowUp", "w", " "): the next step uses it. Raises ValueError
        for a key the game lacks.
        """
        if key not in self.game.keys:
            raise ValueError(f"key {key!r} given, expected one of {', '.join(map(repr, self.game.keys))}")
        self.key = key

    def step(self, count: int = 1) -> dict:
        """Step `count` times; the pressed key counts for the first. Returns the read-out."""
        with self.lock:
            for _ in range(count):
                self.game.step(self.key)
                self.key = None
            self.look()
        return self.readout

    def restart(self, seed: int | None = None) -> dict:
        """A new game, from `seed` if one is given. Returns the read-out."""
        with self.lock:
            self.key = None
            self.game.restart(seed)
            self.look()
        return self.readout

    # ------------------------------------------------------------------ from the page

    def answer(self, _, message: dict, buffers) -> None:
        """One message of the page in, one read-out with a new tick number out, whatever happens in between.
        """
        with self.lock:
            self.tick = message["tick"]
            try:
                if message["kind"] == "restart":
                    self.game.restart()
                elif message["kind"] == "step" or self.playing:
                    self.game.step(message["key"] or self.key)
                    self.key = None
                else:                                   # a tick that was on its way when the play stopped
                    self.readout = self.readout | {"tick": self.tick}
                    return
                self.look()
            # the reader's own environment may fail in any way: say it in the widget
            except Exception as error:
                self.playing = False
                self.readout = self.readout | {"tick": self.tick, "error": f"{type(error).__name__}: {error}"}

    @traitlets.validate("controller")
    def _take_over(self, proposal) -> str:
        with self.lock:
            self.game.take_over(proposal.value)
        return proposal.value

    def _look_again(self, change) -> None:
        with self.lock:
            self.look()

    @traitlets.validate("fps")
    def _limit_fps(self, proposal) -> int:
        return min(max(proposal.value, SLOWEST), FASTEST)

    def look(self) -> None:
        """Send the picture and the numbers of this moment, in one message."""
        self.frame = self.game.frame()
        with self.hold_sync():
            self.picture = png(self.frame)
            self.seen = self.look_through_agent() if self.show_observation else b""
            self.readout = self.numbers()

    def look_through_agent(self) -> bytes:
        shades = self.agent_view()
        return b"" if shades is None else png(shades)

    def agent_view(self) -> np.ndarray | None:
        """The watched agent's observation as an RGB picture, a pixel a cell; None if it is no grid."""
        game, space = self.game, self.game.env.single_observation_space
        grid = observation_grid(np.asarray(game.observations[game.agent]))
        if grid is None:
            return None
        low, high = (float(bound) for bound in (np.min(space.low), np.max(space.high)))
        if not np.isfinite([low, high]).all() or high - low > 255:
            low, high = float(grid.min()), float(grid.max())
        # a byte's whole range says little about what the cells hold
        elif high == 255:
            high = max(float(grid.max()), 1.0)
        return shade(grid, low, high)

    def numbers(self) -> dict:
        game = self.game
        values = (np.ravel(game.observations[game.agent]) if self.show_observation and not self.seen
                  else np.empty(0))
        return {
            "tick": self.tick, "step": game.steps, "reward": round(game.reward, 4),
            "return": round(game.episode_return, 4),
            "length": game.episode_length, "episodes": game.episodes, "action": game.describe(game.action),
            "ended": game.ended, "last_return": round(game.last_return, 4), "last_length": game.last_length,
            "values": [round(float(value), 3) for value in values[:VALUES]],
            "more": max(0, len(values) - VALUES), "error": "",
        }

    def __repr__(self) -> str:
        env = self.game.env
        return f"Player({type(env).__name__}, agent {self.game.agent} of {env.num_agents})"

    def film(self) -> Plot:
        """Pictures of the game from now on, a second apart, as a strip; below each one what the agent sees,
        if that is shown. The policy plays, or chance where there is none; afterwards the game begins anew.

        A game that has left its first moment, or began from no seed, cannot be put back: one picture of now.
        """
        game, boards, views, captions = self.game, [], [], []
        driver, chance = game.controller, game.random.bit_generator.state
        fresh = game.steps == 0 and game.seed is not None
        game.take_over("random" if game.policy is None else "policy")
        try:
            for moment in range(MOMENTS if fresh else 1):
                for _ in range(self.fps if moment else 0):
                    game.step()
                boards.append(game.frame())
                views.append(self.agent_view() if self.show_observation else None)
                captions.append(f"step {game.steps}, return {game.episode_return:.3g}")
        except Exception:                               # the same error is shown when the game is played
            pass
        game.take_over(driver)
        if fresh:
            game.random.bit_generator.state = chance
            game.restart(game.seed)
        if not views or views[0] is None:
            return film_strip(boards, captions)
        return film_strip([*boards, *views], captions + ["what the agent sees"] * len(views), rows=2)

    def _repr_mimebundle_(self, **kwargs):
        data, metadata = super()._repr_mimebundle_(**kwargs)
        with self.lock:
            picture = self.film()._repr_png_()
        alt = (f"The first seconds of {type(self.game.env).__name__} as a film strip, played "
               f"{'at random' if self.game.policy is None else 'by the policy'}.")
        return (data | {"image/png": base64.b64encode(picture).decode()},
                metadata | {"image/png": {"alt": alt}})
