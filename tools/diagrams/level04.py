"""Level 4: what a trainer puts around the arithmetic, and the adapter to our environments."""

from draw import Drawing


def layers() -> Drawing:
    d = Drawing(
        700,
        260,
        "One step of training as every library does it: environment, bookkeeping, policy and update. The "
        "arithmetic is the same in all; what differs is how much bookkeeping stands between the stages.",
    )
    names = [
        ("environment", "actions →\nobservations", "green"),
        ("bookkeeping", "lists, copies,\ntensors", "red"),
        ("policy", "observations →\nactions", "blue"),
        ("bookkeeping", "buffers, statistics,\nprogress", "red"),
        ("update", "minibatches,\ngradients", "blue"),
    ]
    boxes = [
        d.box(14 + 138 * number, 60, 122, 84, name, small, colour=colour, size=13)
        for number, (name, small, colour) in enumerate(names)
    ]
    for one, two in zip(boxes, boxes[1:], strict=False):
        d.arrow(one.right(), two.left())
    d.arrow(
        boxes[2].top(),
        boxes[0].top(),
        "once a step",
        via=[(boxes[2].top().x, 36), (boxes[0].top().x, 36)],
    )
    d.arrow(
        boxes[4].bottom(),
        boxes[0].bottom(),
        "once a batch",
        via=[(boxes[4].bottom().x, 172), (boxes[0].bottom().x, 172)],
        below=True,
    )
    d.text(
        14,
        222,
        "Amdahl: a stage that takes the share p of the time, made free, makes\nthe whole at most 1 / (1 "
        "− p) times as fast.",
        size=12,
    )
    return d


def adapter() -> Drawing:
    d = Drawing(
        700,
        230,
        "The adapter: a native batch of a thousand agents in one call looks to Stable-Baselines3 like a "
        "thousand environments; arrays pass through, and the end of an episode becomes an entry of its "
        "info.",
    )
    ours = d.box(
        16,
        60,
        180,
        110,
        "envs.make(…)",
        "one call for all agents:\nobservations, rewards,\nterminals, truncations",
        colour="green",
        size=14,
    )
    middle = d.box(
        260,
        60,
        180,
        110,
        "puffer_min.as_sb3",
        'same arrays,\n"terminal_observation" and\n"TimeLimit.truncated"',
        colour="orange",
        size=14,
    )
    theirs = d.box(
        504, 60, 180, 110, "their trainer", "its own policy,\nits own loop", colour="blue", size=14
    )
    d.arrow(ours.right(0.35), middle.left(0.35), colour="green")
    d.arrow(middle.right(0.35), theirs.left(0.35), colour="green")
    d.arrow(theirs.left(0.7), middle.right(0.7), colour="blue")
    d.arrow(middle.left(0.7), ours.right(0.7), colour="blue")
    d.text(350, 40, "observations and rewards to the right, actions to the left", size=12, align="centre")
    d.text(
        350,
        204,
        "The other way round, make_vec takes anyone's Gymnasium environment in: level 6.",
        size=12,
        align="centre",
    )
    return d


DIAGRAMS = {"04_adapter": adapter, "04_stages": layers}
