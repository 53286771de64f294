"""`arena`: checkpoints and scripted players against each other, and how strong they are.

    python -m puffer_min arena connect4 runs/*/checkpoint.pt scripted:random scripted:search4 --out standings
"""

import argparse

from puffer_min.commands import locate
from puffer_min.selfplay.arena import arena


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `python -m puffer_min arena`."""
    locate.add_environment(parser)
    parser.add_argument("players", nargs="+", metavar="PLAYER",
                        help="a checkpoint, or scripted:NAME, such as scripted:random")
    parser.add_argument("--games", type=int, default=1000, help="the most games of each pair (1000)")
    parser.add_argument("--width", type=float, default=0.1,
                        help="width of the 95 %% interval at which a pair has played enough; 0: always "
                             "--games (0.1)")
    parser.add_argument("--out", metavar="FOLDER",
                        help="where standings.json, heat_map.png and ladder.png go")


def run(args) -> int:
    """Let them play, and print the ladder."""
    settings = dict(locate.parse_setting(text) for text in args.set)
    standings = arena(locate.environment(args.environment), args.players, games=args.games, width=args.width,
                      seed=args.seed, env_settings=settings)
    print(standings)
    print(f"Played {int(standings.games.sum()) // 2:,} games in {standings.seconds:.1f} s; side 0 won "
          f"{standings.first:.2f} of them.")
    if args.out:
        print(f"standings.json, heat_map.png and ladder.png are in {standings.save(args.out)}.")
    return 0
