"""Games between policies: opponents to train against, an arena to rate them, best responses to expose them.

    sides.py        the two sides of an environment, and who has won a game
    players.py      what sits at a side: a checkpoint, a scripted player, a policy; who is asked at each step
    arena.py        every pair plays; ratings.py: payoffs, Elo, intervals, cycles; pictures.py
    curriculum.py   which level to play next: prioritised level replay
    opponents.py    games of a training run in which past policies, files or scripted players play one side

Best responses to a frozen policy are trained by commands/arena/exploit.py.
"""
