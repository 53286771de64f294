"""Level 6: the bytes of a packed row, and slots that are not always filled."""

from draw import Drawing


def row_of_bytes() -> Drawing:
    d = Drawing(
        700,
        220,
        "The packed row of twelve bytes: byte 0 is the level, bytes 1 to 3 are padding, bytes 4 to 7 the "
        "speed as a float32, bytes 8 to 10 the three switches, byte 11 padding again, so that the next "
        "row begins at a multiple of four.",
    )
    colours = ["blue"] + ["white"] * 3 + ["green"] * 4 + ["orange"] * 3 + ["white"]
    texts = ["7"] + [""] * 3 + [""] * 4 + ["1", "0", "1"] + [""]
    boxes = d.cells(62, 70, [texts], width=48, height=44, colours=[colours], size=14)[0]
    for number, box in enumerate(boxes):
        d.text(box.middle().x, 62, str(number), size=12, align="centre")
    d.text(50, 62, "byte", size=12, align="right")
    d.box(boxes[4].x, 70, 4 * 48, 44, "0.5", colour="green", size=14, mono=True, corner=0)
    for first, last, text in [
        (0, 0, "level\nuint8"),
        (1, 3, "padding"),
        (4, 7, "speed\nfloat32"),
        (8, 10, "switches\n3 × int8"),
        (11, 11, "padding"),
    ]:
        left, right = boxes[first].x + 3, boxes[last].x + 45
        d.line((left, 122), (left, 128), (right, 128), (right, 122))
        d.text((left + right) / 2, 146, text, size=12, align="centre")
    d.text(
        62,
        190,
        "A float32 can be viewed only at a multiple of four: hence the gaps.\nUnpacking is a view, not a "
        "copy.",
        size=12,
    )
    return d


def slots() -> Drawing:
    d = Drawing(
        700,
        280,
        "Slots and masks: every possible agent has a row for good. An empty slot has the mask 0; agents "
        "arrive and leave at different steps, and when the last has left, the next episode begins inside "
        "the same step.",
    )
    d.text(150, 30, "one step after the other", size=13)
    d.arrow((310, 26), (560, 26))
    alive = ["11110000 11110", "11111110 11111", "00111111 00111"]
    for row, line in enumerate(alive):
        d.text(138, 74 + 46 * row, f"slot {row}", size=13, align="right")
        for column, letter in enumerate(line):
            if letter != " ":
                x = 150 + 38 * column
                d.box(
                    x,
                    50 + 46 * row,
                    36,
                    38,
                    letter,
                    colour="green" if letter == "1" else "grey",
                    size=14,
                    mono=True,
                    corner=0,
                )
    d.line((150 + 38 * 8 + 18, 44), (150 + 38 * 8 + 18, 190), colour="red", dashed=True)
    d.text(150 + 38 * 8 + 18, 206, "the world begins anew", size=12, align="centre", colour="red")
    d.text(
        150,
        240,
        "1: a frog sits in the slot, its row counts.  0: the learner skips the row.\n"
        "The density of the masks says how much of the batch is real.",
        size=12,
    )
    return d


DIAGRAMS = {"06_row": row_of_bytes, "06_slots": slots}
