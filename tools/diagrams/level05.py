"""Level 5: the map of the shared memory, and three ways to tell a worker to start."""

from draw import Drawing


def shared_memory() -> Drawing:
    d = Drawing(
        720,
        330,
        "The shared memory: caller and workers see the same tables. Each worker writes its own rows of "
        "observations, rewards and ends; the caller writes the actions. A ticket says that a step may "
        "start, a done word that it has finished.",
    )
    caller = d.box(16, 40, 120, 96, "caller", "policy, learner", colour="blue")
    first = d.box(584, 40, 120, 80, "worker 0", "environments 0, 1", colour="green", size=14)
    second = d.box(584, 146, 120, 80, "worker 1", "environments 2, 3", colour="green", size=14)
    d.box(190, 16, 340, 300, colour="grey")
    d.text(360, 38, "memory that all of them map", size=13, align="centre")
    for number, (name, width) in enumerate(
        [("observations", 130), ("rewards", 60), ("ends", 50), ("actions", 60)]
    ):
        x = 204 + [0, 134, 198, 252][number]
        d.text(x + width / 2, 62, name, size=11, align="centre")
        for row in range(4):
            colour = "blue" if name == "actions" else "orange" if row < 2 else "purple"
            d.box(
                x,
                70 + 36 * row,
                width,
                32,
                "" if number else f"row {row}",
                colour=colour,
                size=12,
                corner=0,
            )
    d.text(204, 244, "words, a cache line each", size=12)
    d.cells(
        204,
        254,
        [["ticket 7", "done 7", "ticket 7", "done 6"]],
        width=78,
        height=32,
        colours=[["blue", "orange", "blue", "purple"]],
        size=12,
    )
    d.arrow(first.left(), (514, 88), colour="orange")
    d.arrow(second.left(), (514, 164), colour="purple")
    d.arrow(caller.right(), (198, 88), colour="blue")
    d.text(204, 306, "worker 1 has not finished step 7 yet", size=12)
    return d


def lanes() -> Drawing:
    d = Drawing(
        720,
        330,
        "Three ways of handing a step to a worker, on one time axis: by a pipe, where the kernel copies "
        "and wakes on both ways; by a flag that is polled, where both sides keep a core busy; and by a "
        "word on which a side yields first and then sleeps.",
    )
    lanes_ = [
        (
            "pipe",
            [
                ("write", 40, "purple"),
                ("copy, wake", 92, "red"),
                ("step", 60, "green"),
                ("copy, wake", 92, "red"),
                ("read", 40, "purple"),
            ],
            "the kernel copies\nand wakes, both ways",
        ),
        (
            "flag, spinning",
            [("set", 26, "purple"), ("step", 60, "green"), ("see", 26, "purple")],
            "shortest, but waiting\nkeeps a core busy",
        ),
        (
            "word, yield then sleep",
            [("add 1", 36, "purple"), ("step", 60, "green"), ("add 1", 36, "purple")],
            "nearly as short, and\nan idle core is free",
        ),
    ]
    for number, (name, parts, remark) in enumerate(lanes_):
        y = 24 + 98 * number
        d.text(16, y + 12, name, size=14)
        x = 200
        for text, width, colour in parts:
            d.bar(x, y + 20, width, 30, text, colour=colour, size=12)
            x += width
        if number == 1:
            d.box(200, y + 52, 112, 12, colour="red", corner=2)
            d.text(320, y + 62, "the caller spins meanwhile", size=11)
        d.text(16, y + 34, remark, size=11)
    d.arrow((200, 312), (700, 312), "time")
    return d


DIAGRAMS = {"05_lanes": lanes, "05_memory": shared_memory}
