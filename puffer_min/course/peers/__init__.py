"""Other people's libraries beside ours: the same task, the same settings, the same clock. What level 4 runs.

    run("Stable-Baselines3", seconds=5)         a `Run`: steps, episodes, mean return, steps/s
    stages("Tianshou", updates=3)               where the time goes, from a profile
    edited("skrl", {"old": "new"})              a changed copy of a program, its diff, and how many lines it
                                                took
    python -m puffer_min.course.peers --seconds 60

Each library has a module here with one function, `train(terms, make_env, seed)`, written as its own
documentation would write it, and `STAGES`, the functions in which its stages happen. A library that is not
installed is left out with a sentence.
"""

from puffer_min.course.peers.edit import Edited, edited
from puffer_min.course.peers.registry import NAMES, PROGRAMS, load, missing, program, run, stages, versions
from puffer_min.course.peers.standings import Standings
from puffer_min.course.peers.terms import BudgetSpent, Run, Terms, Watch, Watched

__all__ = ["BudgetSpent", "Edited", "NAMES", "PROGRAMS", "Run", "Standings", "Terms", "Watch", "Watched",
           "edited", "load", "missing", "program", "run", "stages", "versions"]
