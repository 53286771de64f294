"""Level 2: the bootstrap on three runs, and the control experiment as a decision."""

from draw import Drawing


def bootstrap() -> Drawing:
    d = Drawing(
        700,
        260,
        "The bootstrap: from the three runs 40, 140 and 150, three are drawn with replacement, many times. "
        "The spread of the means of these draws is the interval of the mean.",
    )
    d.text(20, 34, "the runs that we have", size=13)
    d.cells(20, 50, [["40", "140", "150"]], width=52, height=34, colours="blue", size=14)
    d.text(20, 106, "mean 110", size=13)
    for number, (draw, mean) in enumerate(
        [((140, 40, 140), 107), ((150, 150, 40), 113), ((40, 40, 40), 40)]
    ):
        y = 24 + 62 * number
        d.arrow((184, 67), (278, y + 17))
        d.cells(284, y, [[str(run) for run in draw]], width=48, height=34, colours="orange", size=13)
        d.arrow((432, y + 17), (478, y + 17))
        d.box(484, y, 60, 34, str(mean), colour="purple", size=14)
    d.text(284, 226, "drawn with replacement,\nas often as we like", size=12)
    d.line((560, 24), (572, 24), (572, 182), (560, 182))
    d.arrow((572, 103), (600, 103))
    d.box(604, 66, 84, 74, "the middle\n95 % of\nthe means", "an interval", colour="green", size=12)
    return d


def control() -> Drawing:
    d = Drawing(
        700,
        250,
        "The control experiment as a decision: if the same trainer with the same settings learns a task "
        "that is known to be sound, the new environment is at fault; if not, trainer or settings are.",
    )
    start = d.box(16, 90, 146, 64, "nothing learns", "who is to blame?", colour="red")
    test = d.box(
        232,
        78,
        180,
        88,
        "control experiment",
        "same trainer and settings\non a task known\nto be sound",
        size=14,
    )
    world = d.box(
        494,
        22,
        190,
        66,
        "the environment",
        "look at its data:\nscale, ends, first row",
        colour="green",
        size=14,
    )
    trainer = d.box(
        494,
        160,
        190,
        66,
        "trainer or settings",
        "compare with a run\nthat is known to work",
        colour="blue",
        size=14,
    )
    d.arrow(start.right(), test.left())
    d.arrow(test.right(0.3), world.left(), via=[(452, test.right(0.3).y), (452, world.left().y)])
    d.arrow(test.right(0.7), trainer.left(), via=[(452, test.right(0.7).y), (452, trainer.left().y)])
    d.text(404, 66, "learns", size=12, colour="green")
    d.text(420, 188, "fails", size=12, colour="red")
    return d


DIAGRAMS = {"02_bootstrap": bootstrap, "02_control": control}
