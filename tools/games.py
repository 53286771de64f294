"""Draws docs/pictures/games.gif, the moving picture at the head of README.md: shipped policies at play.

    python tools/games.py [FILE]

Needs Pillow. Half a minute. Frames depend on the policies' sums, which differ between processors in the last
bit, so another machine may show another game.
"""

import sys
from pathlib import Path

from PIL import Image

import puffer_min
from puffer_min.commands.game import Game

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docs" / "pictures" / "games.gif"
SIZE = 240                      # pixels of a tile's sides
FRAMES, SHOWN = 60, 100         # frames, and milliseconds that one is shown
DARK = (16, 20, 28)
GAMES = {             # settings, ticks before the first frame, ticks a frame, part (left, top, right, bottom)
    "snake": (dict(num_snakes=1, width=20, height=15, num_food=3), 500, 1, None),
    "drive": ({}, 0, 1, None),
    "moba": ({}, 60, 3, (0, 0, 768, 768)),
    "mmo": (dict(agents=256), 200, 2, (200, 230, 500, 530)),
}


def tile(frame, part):
    """A frame of a game, (height, width, 3) uint8, or the part of it, as a square image of SIZE pixels."""
    image = Image.fromarray(frame).crop(part)
    image.thumbnail((SIZE, SIZE), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (SIZE, SIZE), DARK)
    square.paste(image, ((SIZE - image.width) // 2, (SIZE - image.height) // 2))
    return square


def play(name, settings, before, ticks, part, frames):
    """Yields `frames` tiles of a game that its shipped policy plays."""
    env = puffer_min.make_vec(name, seed=3, env_settings=settings)
    policy = puffer_min.load_policy(ROOT / "puffer_min" / "policies" / f"{name}.pt", seed=3)
    game = Game(env, policy, seed=3)
    for tick in range(before + ticks * frames):
        if tick >= before and (tick - before) % ticks == 0:
            yield tile(game.frame(), part)
        game.step()
    env.close()


def film(frames=FRAMES):
    """The games side by side: a list of `frames` images of SIZE by len(GAMES) * SIZE pixels."""
    films = [list(play(name, *how, frames)) for name, how in GAMES.items()]
    pictures = []
    for tiles in zip(*films, strict=True):
        row = Image.new("RGB", (SIZE * len(tiles), SIZE))
        for place, image in enumerate(tiles):
            row.paste(image, (place * SIZE, 0))
        pictures.append(row)
    return pictures


def main(path=FILE):
    frames = film()
    palette = frames[len(frames) // 2].quantize(64)
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=SHOWN, loop=0, optimize=True)
    print(f"{path}: {len(frames)} frames, {Path(path).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
