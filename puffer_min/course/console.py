"""`PongConsole`: our own `pong` as a console with a screen, in the place of an Atari.

It has the methods of `ale_py.ALEInterface` that wrappers use, so that level 7 runs without ale-py, and
`puffer_min.Atari` plays it: `PixelPong`. The screen has 120 x 160 pixels of five colours. A point
lost is a life lost. With `flicker` the ball is drawn in every second frame only, as in games of the Atari
2600 that have more sprites than the console can draw at a time.
"""

from types import SimpleNamespace

import numpy as np

import envs
from puffer_min.wrappers.atari import Atari

HEIGHT, WIDTH, LIVES = 120, 160, 3
PALETTE = np.array([(0, 0, 0), (60, 60, 60), (213, 94, 0), (86, 180, 233), (236, 236, 236)], np.uint8)
GREYS = np.rint(PALETTE @ [0.299, 0.587, 0.114]).astype(np.uint8)
ACTIONS = [SimpleNamespace(name=name, value=value) for value, name in enumerate(("NOOP", "UP", "DOWN"))]


class PongConsole:
    """One game of pong to `LIVES` points. flicker: see above; rival_speed: see envs/pong.pyx."""

    flicker, rival_speed = True, 0.6

    def __init__(self):
        self.pong = envs.make("pong", 1, frame_skip=1, points_to_win=LIVES, rival_speed=self.rival_speed)
        self.seed, self.frames = 0, 0
        self.loadROM("pong")

    # ------------------------------------------------------------------ as in ale_py.ALEInterface

    def setInt(self, name, value):
        """Only "random_seed" is used; it holds from the next loadROM on."""
        if name == "random_seed":
            self.seed = int(value) % 2**32

    def setFloat(self, name, value):
        """Nothing here has a probability."""

    def loadROM(self, path):
        """Start afresh with the seed."""
        self.pong.reset(self.seed)
        self.reset_game()

    def reset_game(self):
        """Start a game: the simulator under the console has done so by itself."""
        self.over, self.lost, self.state = False, 0, self.pong.observations[0].copy()

    def act(self, action):
        """One frame; returns the points."""
        if self.over:
            return 0
        self.pong.actions[0] = action.value
        self.pong.step(self.pong.actions)
        points, self.frames = int(self.pong.rewards[0]), self.frames + 1
        self.over, self.lost = bool(self.pong.terminals[0]), self.lost + (points < 0)
        if not self.over:
            self.state = self.pong.observations[0].copy()
        return points

    def lives(self):
        return LIVES - self.lost

    def game_over(self, with_truncation=True):
        return self.over

    def game_truncated(self):
        return False

    def getMinimalActionSet(self):
        return ACTIONS

    getLegalActionSet = getMinimalActionSet

    def getScreenDims(self):
        return HEIGHT, WIDTH

    def getScreen(self, screen=None):
        """The screen as colours of the palette, uint8 (120, 160)."""
        screen = np.empty((HEIGHT, WIDTH), np.uint8) if screen is None else screen
        paddle, rival, x, y = (float(part) for part in self.state[:4])
        screen.fill(0)
        screen[::4, WIDTH // 2] = 1
        for left, centre, colour in ((5, rival, 2), (WIDTH - 8, paddle, 3)):
            top = round(centre * HEIGHT) - 8
            screen[max(0, top):top + 16, left:left + 3] = colour
        if self.frames % 2 == 0 or not self.flicker:
            top, left = round(y * HEIGHT) - 2, round(x * WIDTH) - 2
            screen[max(0, top):max(0, top + 4), max(0, left):max(0, left + 4)] = 4
        return screen

    def getScreenGrayscale(self, screen=None):
        """The screen in grey, uint8 (120, 160)."""
        return np.take(GREYS, self.getScreen(), out=screen)

    def getScreenRGB(self, screen=None):
        """The screen in colours, uint8 (120, 160, 3)."""
        return np.take(PALETTE, self.getScreen(), axis=0, out=screen)

    def cloneSystemState(self):
        """Everything that decides the future."""
        own = {name: value for name, value in vars(self).items() if name != "pong"}
        return own | {"state": self.state.copy(), "pong": self.pong.get_state()}

    __getstate__ = cloneSystemState

    def __setstate__(self, state):
        self.__init__()
        self.restoreSystemState(state)

    def restoreSystemState(self, state):
        """Go on from what `cloneSystemState` gave."""
        vars(self).update({name: value for name, value in state.items() if name != "pong"})
        self.state = self.state.copy()
        self.pong.set_state(state["pong"])


class DrillConsole(PongConsole):
    """Pong as a drill: a point for each frame in which the paddle is level with the ball, none for balls."""

    def act(self, action):
        super().act(action)
        return int(not self.over and abs(self.state[0] - self.state[3]) * HEIGHT < 10)


class PixelPong(Atari):
    """`puffer_min.Atari` on this console: make_vec(PixelPong, num_envs=16, size=(30, 40), frame_stack=2)."""

    console = PongConsole

    def __init__(self, **settings):
        super().__init__("pong", emulator=self.console, **settings)


class PixelDrill(PixelPong):
    """The drill, which is learned from pixels in seconds."""

    console = DrillConsole
