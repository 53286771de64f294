"""Level 10: the league, prioritised replay, and a measure of novelty among its controls."""

from draw import Drawing


def the_league() -> Drawing:
    d = Drawing(
        720,
        290,
        "The league: the policy that learns plays some games against itself and some against past versions "
        "that a pool keeps; only its own rows reach the loss. Every few updates a copy of it joins the pool.",
    )
    learner = d.box(20, 100, 150, 76, "policy", "learns", colour="blue")
    d.box(270, 44, 190, 66, "games with itself", "both sides' rows count", colour="green", size=14)
    guest = d.box(270, 178, 190, 76, "games with a guest", "only the policy's\nrows count", colour="green",
                  size=14)
    pool = d.box(540, 60, 160, 194, colour="grey")
    d.text(620, 84, "the pool (frozen)", size=13, align="centre")
    for number, name in enumerate(("step 100,000", "step 200,000", "step 300,000")):
        d.box(555, 98 + 46 * number, 130, 36, name, colour="blue", size=13, dashed=True)
    d.arrow((170, 120), (270, 77), "plays", colour="blue")
    d.arrow((170, 156), (270, 210), "plays", colour="blue", below=True)
    d.arrow((pool.x, 216), guest.right(), "a guest", colour="grey")
    d.arrow(learner.top(), (620, 60), "a copy, every few updates", via=((95, 26), (620, 26)), colour="purple")
    return d


def the_replay() -> Drawing:
    d = Drawing(
        720,
        300,
        "Prioritised level replay: with the share of levels not yet seen, a new one is drawn; else one is "
        "replayed by the rank of its score or by its age. The episode that ends gives the level a new score.",
    )
    coin = d.box(20, 110, 150, 70, "next level?", "unseen left: new one", colour="purple", size=14)
    new = d.box(250, 30, 170, 60, "a new level", "any of the unseen", colour="grey", size=14)
    score = d.box(250, 120, 170, 60, "by score", "(1 / rank)^(1 / T)", colour="orange", size=14)
    age = d.box(250, 210, 170, 60, "by age", "episodes it waited", colour="orange", size=14)
    play = d.box(510, 110, 180, 80, "an episode", "its advantages,\nits regret", colour="green", size=14)
    d.arrow(coin.right(0.2), new.left(), "new", colour="purple")
    d.arrow(coin.right(0.5), score.left(), "1 - s", colour="purple")
    d.arrow(coin.right(0.8), age.left(), "s", colour="purple", below=True)
    d.arrow(new.right(), play.left(0.15), colour="green")
    d.arrow(score.right(), play.left(0.5), colour="green")
    d.arrow(age.right(), play.left(0.85), colour="green")
    d.arrow(play.bottom(), score.right(0.8), "a new score", via=((600, 285), (438, 285), (438, 168)),
            colour="orange")
    return d


def the_controls() -> Drawing:
    d = Drawing(
        720,
        320,
        "What a curve of novelty may be made of: invention by the policy, chance, a world that moves by "
        "itself, numbers that do not belong together, and a source that never changed. Each has a control.",
    )
    curve = d.box(20, 118, 150, 84, "lives go on\nbeing new", "a rising curve", colour="orange", size=14)
    rows = [
        ("the policy invents", "what we would like to show", "blue", "beats all four below"),
        ("chance", "dice find new things, too", "grey", "random policies"),
        ("the world moves", "a noisy television", "green", "a policy that learns no more"),
        ("nothing changes", "we go on drawing", "grey", "the same lives, shuffled"),
        ("numbers go their own way", "chimeras look new", "grey", "shuffled columns"),
    ]
    for number, (cause, small, colour, control) in enumerate(rows):
        box = d.box(250, 14 + 60 * number, 200, 48, cause, small, colour=colour, size=13)
        d.arrow(box.left(), curve.right(0.1 + 0.2 * number), colour="grey")
        d.text(468, 42 + 60 * number, control, size=12.5)
    return d


DIAGRAMS = {"10_league": the_league, "10_replay": the_replay, "10_controls": the_controls}
