"""Level 7: skip, maximum and stack on a time line, and the chain of wrappers before and after the peel."""

from draw import Drawing


def the_skip() -> Drawing:
    d = Drawing(
        720,
        262,
        "Skip, maximum and stack on a time line: of every four frames the last two are merged by their "
        "maximum into one picture, and the last four pictures are one observation.",
    )
    left, wide = 92, 37
    d.text(88, 54, "frames", align="right")
    d.text(88, 124, "pictures", align="right")
    d.text(88, 206, "observation", align="right")
    for step in range(4):
        x = left + step * 4 * wide
        d.line((x, 20), (x, 78), colour="purple", dashed=True)
        d.text(x + 4, 26, f"action {step + 1}, held", size=11, colour="purple")
        for frame in range(4):
            kept = frame > 1
            d.box(
                x + frame * wide + 2,
                36,
                wide - 4,
                30,
                str(4 * step + frame + 1),
                size=11,
                colour="green" if kept else "grey",
                dashed=not kept,
            )
        picture = d.box(x + 2 * wide + 10, 106, 54, 30, "max", size=12, colour="orange")
        for frame in (2, 3):
            d.arrow((x + (frame + 0.5) * wide, 66), picture.top(0.25 + 0.5 * (frame - 2)), colour="green")
        d.arrow(picture.bottom(), (picture.x + 27, 182), colour="orange")
    d.box(left + 2 * wide, 182, 14 * wide, 38, "four pictures, the oldest first", colour="blue")
    d.text(left, 248, "grey: frames that are played and not looked at", size=12, colour="grey")
    return d


def the_chain() -> Drawing:
    d = Drawing(
        720,
        250,
        "The chain of wrappers before and after the peel. Before: the emulator's screen becomes colours four "
        "times a step, then a maximum, a grey picture, a small one and a new stack, each a copy. After: the "
        "emulator writes palette numbers twice a step, and one loop writes the small frame into the batch.",
    )
    d.text(16, 30, "before", bold=True)
    names = ["emulator\n4 frames", "colours\n4 copies", "maximum\n1 copy"]
    names += ["grey\n1 copy", "resize\n1 copy", "stack\n4 copies"]
    places = ["green", *["orange"] * 5]
    boxes = [
        d.box(16 + 116 * n, 44, 96, 54, name, colour=place, size=13)
        for n, (name, place) in enumerate(zip(names, places, strict=True))
    ]
    for one, other in zip(boxes, boxes[1:], strict=False):
        d.arrow(one.right(), other.left())
    d.text(16, 150, "after", bold=True)
    emulator = d.box(16, 164, 96, 54, "emulator\n4 frames", colour="green", size=13)
    shrink = d.box(206, 164, 240, 54, "Shrink", "grey, maximum, area: changed rows", colour="blue")
    row = d.box(540, 164, 152, 54, "row of the batch", "stack moves in place", colour="orange", size=13)
    d.arrow(emulator.right(), shrink.left(), "2 screens")
    d.arrow(shrink.right(), row.left(), "1 frame")
    return d


DIAGRAMS = {"07_skip": the_skip, "07_chain": the_chain}
