"""`EpisodeGIF`: every so many steps, an episode of the present policy as a GIF in the run's folder."""

from envs.core.settings import whole
from puffer_min.commands.callbacks.callback import Callback, Every, environment_of
from puffer_min.commands.callbacks.evaluation import OTHER_SEEDS
from puffer_min.commands.game import Game
from puffer_min.commands.locate import settings_to_watch
from puffer_min.vector import make_vec

FRAME = 40                      # milliseconds that a frame is shown: 25 a second


class EpisodeGIF(Callback):
    """Write run_dir/episode-STEP.gif every `every` agent-steps and at the end of the run.

    env        what makes the environment, if not what makes the run's. A Gymnasium id is made with
               render_mode="rgb_array"; a function must do so: lambda: gymnasium.make(..., render_mode=...)
    steps      frames at most
    greedy     take the most probable actions instead of drawing them

    Needs Pillow (ImportError in `start`). Raises ValueError in `start` for environments that draw nothing.
    """

    def __init__(self, every: int, *, env=None, env_settings: dict | None = None, steps: int = 500,
                 greedy: bool = False):
        self.every, self.steps = Every(whole("every", every, 1)), whole("steps", steps, 1)
        self.make_env, self.env_settings, self.greedy = env, env_settings, greedy

    def start(self, run):
        try:
            from PIL import Image
        except ImportError as error:
            raise ImportError("EpisodeGIF needs Pillow, which is not installed: "
                              "pip install pillow") from error
        self.image = Image
        make_env, settings = environment_of(self, run, "draw")
        settings = settings_to_watch(make_env) | settings
        self.env = make_vec(make_env, seed=run.seed + OTHER_SEEDS, report_interval=0, env_settings=settings)
        Game(self.env).frame()                          # what draws nothing says so now
        self.every.start(run)

    def update(self, run, update):
        if not self.every(run):
            return
        game = Game(self.env, run.actor(self.greedy), seed=self.env.seed)
        frames = [game.frame().copy()]
        while len(frames) < self.steps:
            game.step()
            if game.ended:                              # the picture is already of the next episode
                break
            frames.append(game.frame().copy())
        frames = [self.image.fromarray(frame) for frame in frames]
        frames[0].save(run.run_dir / f"episode-{update['step']}.gif", save_all=True, append_images=frames[1:],
                       duration=FRAME, loop=0)

    def end(self, run):
        self.env.close()
