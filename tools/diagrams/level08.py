"""Level 8: where a learner's data may be altered, how tests divide the suspects, and the map of choosing."""

from draw import Drawing


def the_hooks() -> Drawing:
    d = Drawing(
        700,
        236,
        "Four places between learner and simulator where something can break: actions on the way in; "
        "observations, rewards and ends on the way out. The simulator, its picture and its log stay healthy.",
    )
    d.box(16, 70, 130, 96, "learner", "policy, PPO", colour="blue")
    d.box(548, 70, 136, 96, "simulator", "rules, picture,\nlog: healthy", colour="green")
    heard = d.box(270, 18, 150, 36, "heard(actions)", colour="red", mono=True, size=13)
    d.arrow((81, 70), heard.left(), via=[(81, 36)], colour="blue")
    d.arrow(heard.right(), (616, 70), via=[(616, 36)], colour="blue")
    for number, (name, what) in enumerate(
        [
            ("seen(rows)", "scale, axes, first"),
            ("paid(rewards)", "sign, stalling"),
            ("ended(flags)", "terminals"),
        ]
    ):
        box = d.box(270, 74 + 52 * number, 150, 44, name, what, colour="red", size=13)
        y = 96 + 52 * number
        at = min(max(y, 80), 160)
        d.arrow((548, at), box.right(), via=[(500, at), (500, y)] if at != y else (), colour="green")
        d.arrow(box.left(), (146, at), via=[(200, y), (200, at)] if at != y else (), colour="green")
    return d


def the_search() -> Drawing:
    d = Drawing(
        720,
        250,
        "Eight suspects and the order of tests: the first observation shows four of them, playing two "
        "more, the ends one, and who is left needs no test.",
    )
    steps = [
        ("eight suspects", ""),
        ("first observation", "shows scale, first,\ndivision, axes"),
        ("play", "shows sign, bytes"),
        ("ends", "shows end"),
    ]
    boxes = []
    for number, (name, what) in enumerate(steps):
        colour = "purple" if number else "grey"
        boxes.append(d.box(14 + 178 * number, 40, 150, 70, name, what, colour=colour, size=13))
    for a, b, left in zip(boxes, boxes[1:], (8, 4, 2), strict=False):
        d.arrow(a.right(), b.left(), str(left))
    for box, count in zip(boxes[1:], ("4 of 8", "2 of 4", "1 of 2"), strict=True):
        end = d.box(box.x + 30, 166, 90, 44, "found", count, colour="green", size=13)
        d.arrow(box.bottom(), end.top(), colour="green")
    last = d.box(14, 166, 150, 44, "learner", "is left: 1", colour="red", size=13)
    way = [(boxes[3].x + 140, 234), (last.x + 75, 234)]
    d.arrow((boxes[3].x + 140, 110), last.bottom(), via=way, colour="red")
    return d


def the_map() -> Drawing:
    d = Drawing(
        640,
        360,
        "A map with two axes: how cheap a step is to simulate, to the right, and how hard the decisions are, "
        "upwards. Wanted is the corner at the top right. Pixels and physics move an environment to the left "
        "without making its decisions harder.",
    )
    d.arrow((60, 310), (620, 310), colour="grey")
    d.arrow((60, 310), (60, 20), colour="grey")
    d.text(340, 340, "cheap to simulate: steps/s of one core", size=13, align="centre")
    d.text(70, 34, "hard decisions", size=13)
    d.box(410, 44, 190, 100, "wanted", "rules that fit in memory,\nplans that do not", colour="green")
    d.box(84, 44, 190, 100, "expensive lessons", "big games, rendered", colour="orange")
    d.box(84, 190, 190, 100, "why?", "slow, and easy", colour="red")
    d.box(410, 190, 190, 100, "for testing", "cartpole, probes", colour="blue")
    d.arrow((404, 94), (280, 94), "draw pixels, simulate", colour="purple")
    d.text(342, 112, "what nobody decides", size=12, align="centre")
    d.arrow((505, 184), (505, 150), "opponents, plans, memory", colour="purple", below=True)
    return d


DIAGRAMS = {"08_hooks": the_hooks, "08_search": the_search, "08_choosing": the_map}
