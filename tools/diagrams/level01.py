"""Level 1: the loop of reinforcement learning, and the map of the ten levels."""

from draw import Drawing


def the_loop() -> Drawing:
    d = Drawing(
        680,
        250,
        "The loop: the policy turns an observation into an action; a step of the environment turns "
        "the action into a reward and the next observation. An episode that ends is reset inside the same "
        "step.",
    )
    policy = d.box(20, 80, 170, 70, "policy", "observation → action", colour="blue")
    step = d.box(370, 20, 290, 210, colour="green")
    d.text(515, 44, "environment: one step", size=14, align="centre")
    rules = d.box(400, 62, 230, 44, "move the world, one tick", size=13)
    over = d.box(400, 126, 105, 44, "over?", size=13)
    reset = d.box(525, 126, 105, 44, "reset", "a new episode", size=13)
    d.arrow(rules.bottom(0.23), over.top(), colour="green")
    d.arrow(over.right(), reset.left(), colour="green")
    d.text(515, 200, "terminal, truncation: it was over", size=12, align="centre")
    d.arrow(policy.right(0.25), (step.x, 97.5), "action", colour="blue")
    d.arrow((step.x, 132.5), policy.right(0.75), "reward, observation", colour="green", below=True)
    return d


LEVELS = [
    ("1 Results", "what they cost", "blue"),
    ("2 Research", "what a result is worth", "blue"),
    ("3 Algorithms", "the learner", "blue"),
    ("4 Libraries", "the code around it", "blue"),
    ("5 Vectorization", "many environments", "orange"),
    ("6 Compatibility", "any environment", "orange"),
    ("7 Wrappers", "the layers between", "orange"),
    ("8 Environments", "the choice of a world", "green"),
    ("9 Custom simulation", "the world itself", "green"),
    ("10 Open-endedness", "what to learn next", "purple"),
]


def the_map() -> Drawing:
    d = Drawing(
        760,
        420,
        "The ten levels of the course as stairs, from results at the bottom to open-endedness at "
        "the top. Levels 1 to 4 are about learning, 5 to 7 about moving data, 8 and 9 about simulating, "
        "10 about what to learn next.",
    )
    for number, (name, what, colour) in enumerate(LEVELS):
        d.box(16 + 62 * number, 372 - 40 * number, 170, 38, name, what, colour=colour, size=13)
    for number, (colour, text) in enumerate(
        [
            ("blue", "learning"),
            ("orange", "moving data"),
            ("green", "simulating"),
            ("purple", "asking for more"),
        ]
    ):
        d.box(24, 18 + 24 * number, 16, 14, colour=colour, corner=2)
        d.text(48, 30 + 24 * number, text, size=13)
    return d


DIAGRAMS = {"01_loop": the_loop, "01_map": the_map}
