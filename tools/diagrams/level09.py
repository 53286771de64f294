"""Level 9: objects against an array of structs, and the bits of a row under a mask."""

from draw import Drawing


def layout() -> Drawing:
    d = Drawing(
        700,
        290,
        "Above, a list of Python objects: each entry is a pointer to an object somewhere else, whose "
        "attributes are pointers again. Below, an array of structs: the numbers of an entity lie side by "
        "side, one entity after the other.",
    )
    d.text(20, 30, "a list of objects", size=14)
    boxes = d.cells(20, 44, [["→", "→", "→"]], width=44, height=34, colours="grey", size=14)[0]
    places = [(210, 40), (390, 74), (570, 36)]
    for x, y in places:
        d.box(x, y, 110, 44, "Entity", "x →  y →  health →", colour="red", size=13)
    d.arrow(boxes[0].bottom(), (208, 62), via=[(boxes[0].bottom().x, 96), (180, 96), (180, 62)])
    d.arrow(boxes[1].bottom(), (388, 104), via=[(boxes[1].bottom().x, 112), (360, 112), (360, 104)])
    d.arrow(boxes[2].bottom(), (568, 58), via=[(boxes[2].bottom().x, 128), (540, 128), (540, 58)])
    d.text(20, 152, "Every look follows two pointers to memory that is seldom in the cache.", size=12)
    d.text(20, 192, "an array of structs", size=14)
    names = ["x", "y", "health", "kind"]
    for entity in range(3):
        d.cells(20 + 220 * entity, 206, [names], width=54, height=36, colours="green", size=12)
        d.text(20 + 220 * entity + 108, 260, f"entity {entity}", size=12, align="centre")
    d.text(
        20,
        282,
        "One line of the cache holds several entities, and the next is already on its way.",
        size=12,
    )
    return d


def bits() -> Drawing:
    d = Drawing(
        700,
        270,
        "A bit row: foes 11000110, a mask of the columns in sight 00111110, and their bitwise and "
        "00000110. Clearing the lowest set bit again and again visits each foe.",
    )
    rows = [
        ("foes", "11000110", "orange"),
        ("mask", "00111110", "blue"),
        ("foes & mask", "00000110", "green"),
        ("lowest bit cleared", "00000100", "green"),
    ]
    for column in range(8):
        d.text(226 + 48 * column, 26, str(7 - column), size=12, align="centre")
    d.text(190, 26, "column", size=12, align="right")
    for number, (name, word, colour) in enumerate(rows):
        y = 36 + 48 * number
        d.text(190, y + 26, name, size=13, align="right")
        d.cells(
            202,
            y,
            [list(word)],
            width=48,
            height=40,
            colours=[[colour if bit == "1" else "white" for bit in word]],
            size=15,
        )
    d.text(600, 62, "a bit for\neach foe", size=12)
    d.text(600, 110, "we stand on 3,\nsight 2", size=12)
    d.text(600, 158, "two foes seen", size=12)
    d.text(600, 206, "1 is done,\n2 is next", size=12)
    d.text(202, 250, "The loop runs once for each foe in sight, however wide the row.", size=12)
    return d


DIAGRAMS = {"09_bits": bits, "09_layout": layout}
