"""`Atari`: a game of ale-py with the wrappers that everybody puts around it, written into the batch.

    vec = make_vec(Atari, num_envs=8, backend="process", num_workers=2, game="pong", frame_stack=4)
    train(Atari, env_settings={"game": "pong", "frame_stack": 4})

The emulator is C++ already and gives a screen as colours of its palette, into memory of the caller. What is
left to do is in pixels.pyx. A step of one environment:

    act x frame_skip -> rewards summed, then clipped by their sign
    last two screens -> grey, maximum, 84 x 84 -> the row of the batch

Frames, rewards and ends are those of Gymnasium's `AtariPreprocessing` with the same seed and settings, to the
bit, with two exceptions, both at an end. Where a game ends inside a skip its last observation here is the
screen at the end; there it is a mixture with the step before. And where a lost life ends the episode
(`episodic_life`), the game goes on here, as in Mnih et al. (2015); there it starts anew, so that a policy
never sees the later lives.
"""

import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.utils import seeding

from envs.core.settings import choice, number, whole
from puffer_min.env.puffer_env import PufferEnv
from puffer_min.wrappers.pixels import Shrink, areas, nearest

try:
    import ale_py
except ImportError:
    ale_py = None

KEYS = {"UP": "ArrowUp", "DOWN": "ArrowDown", "LEFT": "ArrowLeft", "RIGHT": "ArrowRight", "FIRE": " "}
OBSERVATIONS = ("area", "nearest", "ram")


class Atari(PufferEnv):
    """One game of the Atari 2600, as in the module's docstring.

    game            name of the game in ale-py: "breakout", "space_invaders"
    observation     "area": the mean grey over areas; "nearest": one pixel of each area, (105, 80) is every
                    second pixel of a screen; "ram": uint8 (128,), the console's memory
    size            rows and columns of the frame, uint8
    frame_skip      frames for which an action is held
    noops           a game begins with 1 to so many frames without an action; 0: with none
    start_actions   actions of a step each after that, and after a lost life with `episodic_life`: (1,) to
                    fire in games that wait for it
    episodic_life   whether a lost life ends the episode; the game goes on
    clip_rewards    whether a reward is the sign of the sum; `score` is of the sums themselves
    sticky          probability with which the emulator repeats the last frame's action
    full_actions    all 18 actions instead of those that the game uses
    max_frames      frames after which a game is cut
    emulator        a class with the methods of ale_py.ALEInterface, instead of that; `game` is its business

    Log     episode_return, episode_length (steps), score (points of the episode)
    Source  Mnih et al. (2015); Machado et al. (2018) for `sticky`

    Raises ImportError without ale-py, ValueError for an unknown game or setting.
    """

    truncates = keeps_last_observations = True
    metric_names = ("score",)
    derived = ("ale", "choices", "pixels", "grey")

    def __init__(self, game="breakout", *, observation="area", size=(84, 84), frame_skip=4, noops=30,
                 start_actions=(), episodic_life=False, clip_rewards=True, sticky=0.0, full_actions=False,
                 max_frames=108_000, emulator=None, buffers=None, seed=0):
        if emulator is None:
            self.rom, emulator = rom_of(game), ale_py.ALEInterface
        else:
            self.rom = game
        if len(size) != 2:
            raise ValueError(f"size={size!r} given, expected rows and columns, such as (84, 84)")
        self.game, self.observation = game, choice("observation", observation, OBSERVATIONS)
        self.frame_skip, self.noops = whole("frame_skip", frame_skip, 1, 1000), whole("noops", noops)
        self.episodic_life, self.clip_rewards = bool(episodic_life), bool(clip_rewards)
        self.ale = emulator()
        self.ale.setFloat("repeat_action_probability", number("sticky", sticky, low=0, high=1))
        self.ale.setInt("max_num_frames_per_episode", whole("max_frames", max_frames, 1, 2**31 - 1))
        self.ale.loadROM(self.rom)
        self.choices = self.ale.getLegalActionSet() if full_actions else self.ale.getMinimalActionSet()
        self.action_names = tuple(each.name.lower() for each in self.choices)
        self.keys = {KEYS[each.name]: i for i, each in enumerate(self.choices) if each.name in KEYS}
        self.start_actions = [whole("start_actions", action, 0, len(self.choices) - 1)
                              for action in start_actions]
        height, width = self.ale.getScreenDims()
        self.grey = np.zeros((height, width), np.uint8)
        rows, columns = whole("size", size[0], 1, height), whole("size", size[1], 1, width)
        shrink = nearest if observation == "nearest" else areas
        self.pixels = Shrink(height, width, shrink(height, rows), shrink(width, columns))
        shape = (128,) if observation == "ram" else (rows, columns)
        self.single_observation_space = Box(0, 255, shape, np.uint8)
        self.single_action_space, self.num_agents = Discrete(len(self.choices)), 1
        self.lives = 0
        super().__init__(buffers, seed)

    def reset(self, seed=None):
        """Begin a game, with a seed also the random streams; returns (observations, infos)."""
        self.begin_reset(seed)
        self._begin()
        self._show(self.observations[0])
        return self.observations, []

    def step(self, actions):
        """Hold an action for `frame_skip` frames; returns (observations, rewards, terminals, truncations,
        infos)."""
        self.begin_step(actions)
        ale, points = self.ale, self._play(self.actions[0])
        lives, over = ale.lives(), ale.game_over()
        self.metrics[0, 0] += points
        self.rewards[0] = np.sign(points) if self.clip_rewards else points
        lost_life = self.episodic_life and 0 < lives < self.lives
        self.lives = lives
        if not (over or lost_life):
            self._show(self.observations[0])
            return self.finish_step()
        self.truncations[0] = over and ale.game_truncated()
        self.terminals[0] = not self.truncations[0]
        self._show(self.final_observations[0])
        if over:
            self._begin()
        else:
            self._press_start()
        self._show(self.observations[0])
        return self.finish_step()

    def render(self, index=0):
        """The screen, RGB (210, 160, 3)."""
        return self.ale.getScreenRGB()

    def copied_state(self, memo):
        """As in the base, and the emulator's state."""
        return super().copied_state(memo) | {"emulator": self.ale.cloneSystemState()}

    def set_state(self, state):
        """Go on from what `get_state` gave."""
        super().set_state(state)
        self.ale.restoreSystemState(state["emulator"])

    # ------------------------------------------------------------------ the emulator

    def _set_seed(self, seed):
        """Seed the emulator and the number of no-ops as `ale_py.AtariEnv` does."""
        super()._set_seed(seed)
        of_noops, of_emulator = np.random.SeedSequence(self.seed).generate_state(2)
        self.random = seeding.np_random(int(of_noops))[0]
        self.ale.setInt("random_seed", np.int32(of_emulator))
        self.ale.loadROM(self.rom)                  # only then does the seed hold

    def _begin(self):
        """Start a game: no-ops, then the start actions."""
        self.ale.reset_game()
        for _ in range(self.random.integers(1, self.noops + 1) if self.noops else 0):
            self.ale.act(self.choices[0])
            if self.ale.game_over():
                self.ale.reset_game()
        self._look(0, 1)
        self._press_start()

    def _press_start(self):
        """Play the start actions, and begin again where they end the game."""
        for action in self.start_actions:
            self._play(action)
            if self.ale.game_over():
                self.ale.reset_game()
                self._look(0, 1)
        self.lives = self.ale.lives()

    def _play(self, action):
        """Hold an action; returns the points. Screens 0 and 1 are the last two afterwards."""
        ale, held, points = self.ale, self.choices[action], 0
        for left in range(self.frame_skip - 1, -1, -1):
            points += ale.act(held)
            if ale.game_over():
                self._look(0, 1)
                break
            if left < 2:
                self._look(left)
        if self.frame_skip == 1:
            self._look(1)
        return points

    def _look(self, *screens):
        """Take the emulator's screen as screen 0, 1 or both."""
        for which in screens if self.observation != "ram" else ():
            self.ale.getScreen(self.pixels.screen)
            if not self.pixels.look(which):
                self.ale.getScreenGrayscale(self.grey)
                self.pixels.teach(which, self.grey)

    def _show(self, row):
        """Write the observation into a row of the batch."""
        if self.observation == "ram":
            self.ale.getRAM(row)
        else:
            self.pixels.write(row)


def rom_of(game):
    """The file of a game of ale-py. Raises ImportError without ale-py, ValueError for an unknown game."""
    if ale_py is None:
        raise ImportError("Atari plays on ale-py, which is not installed: pip install ale-py")
    games = ale_py.roms.get_all_rom_ids()
    if game not in games:
        raise ValueError(f"game={game!r} given, expected one of {', '.join(sorted(games))}")
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)          # it greets each interface otherwise
    return ale_py.roms.get_rom_path(game)
