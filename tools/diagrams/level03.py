"""Level 3: actor and critic, rows and columns of the buffer, and GAE as a fan of looks ahead."""

from draw import Drawing


def actor_critic() -> Drawing:
    d = Drawing(
        700,
        275,
        "Actor and critic: the actor draws an action, the environment pays a reward and shows the next "
        "observation; the critic values both observations; their difference with the reward, the TD "
        "error, corrects both.",
    )
    seen = d.box(16, 116, 110, 56, "observation", "s", colour="orange", size=14)
    actor = d.box(186, 48, 130, 56, "actor", "draws an action", colour="blue", size=13)
    critic = d.box(186, 184, 130, 56, "critic", "V(s), V(s')", colour="blue", size=13)
    world = d.box(390, 48, 130, 56, "environment", "one step", colour="green", size=14)
    error = d.box(
        390,
        184,
        290,
        56,
        "δ = r + γ V(s') − V(s)",
        "better or worse than expected",
        colour="purple",
        size=14,
    )
    d.arrow(seen.right(0.3), actor.left(), colour="orange")
    d.arrow(seen.right(0.7), critic.left(), colour="orange")
    d.arrow(actor.right(), world.left(), "action", colour="blue")
    d.arrow(world.bottom(), (world.bottom().x, error.y), "reward r, next s'", colour="green")
    d.arrow(critic.right(), error.left(), "V", colour="blue")
    d.arrow(
        (640, error.y),
        actor.top(0.5),
        "δ > 0: do that more often",
        via=[(640, 26), (actor.top().x, 26)],
        colour="purple",
    )
    d.arrow(
        error.bottom(0.2),
        critic.bottom(0.5),
        "and correct V by it",
        via=[(448, 262), (251, 262)],
        colour="purple",
    )
    return d


def rows_and_columns() -> Drawing:
    d = Drawing(
        700,
        320,
        "The buffer as a table: a row for each agent, a column for each step of the horizon. An episode "
        "may end in the middle of a row, which is a seam; after the last column stands the critic's "
        "value of what comes next.",
    )
    columns, rows = 8, 4
    ends = {(0, 4), (2, 2), (2, 6), (3, 5)}
    colours, texts = [], []
    for row in range(rows):
        name, line, text = "orange", [], []
        for column in range(columns):
            line.append(name)
            text.append("end" if (row, column) in ends else "")
            if (row, column) in ends:
                name = "green" if name == "orange" else "orange"
        colours.append(line)
        texts.append(text)
    d.text(130, 40, "a column for each step: the horizon", size=13)
    d.arrow((372, 36), (546, 36))
    boxes = d.cells(130, 56, texts, width=52, height=44, colours=colours, size=12)
    for row in range(rows):
        d.text(118, 56 + 44 * row + 27, f"agent {row}", size=12, align="right")
        d.box(560, 60 + 44 * row, 62, 36, "V(next)", colour="blue", size=12)
    d.text(632, 130, "next_\nvalues", size=12)
    seam = boxes[0][4]
    d.line((seam.x + 52, 48), (seam.x + 52, 106), colour="red", width=3)
    d.text(
        130,
        262,
        "A change of colour is a seam: the next episode of the same agent begins.\n"
        "A recurrent network forgets there, and advantages are not carried across it.\n"
        "A minibatch takes whole rows.",
        size=12,
    )
    return d


def fan() -> Drawing:
    d = Drawing(
        700,
        284,
        "GAE as a fan: the advantage of one step mixes looks of one, two, three and more rewards ahead "
        "before the critic is asked, with weights that fall by lambda for each further step.",
    )
    weights = ["1 − λ", "(1 − λ) λ", "(1 − λ) λ²", "(1 − λ) λ³"]
    d.box(20, 22, 92, 40, "step t", colour="orange", size=14)
    for number in range(5):
        d.box(
            150 + 84 * number,
            22,
            76,
            40,
            f"reward {number}" if number < 4 else "…",
            colour="green",
            size=12,
        )
    for looks, weight in enumerate(weights, 1):
        y = 62 + 44 * looks
        d.line((66, 62), (66, y), (150, y), colour="orange")
        d.arrow((150, y), (142 + 84 * looks, y), colour="green")
        d.box(148 + 84 * looks, y - 15, 84, 30, f"+ V({looks} on)", colour="blue", size=12)
        d.text(600, y + 4, weight, size=13, colour="purple")
    d.text(580, 46, "its weight", size=13)
    d.text(
        20,
        274,
        "λ = 0: only the first look, all trust in the critic.  λ = 1: only rewards, none in the critic.",
        size=12,
    )
    return d


DIAGRAMS = {"03_actor_critic": actor_critic, "03_rows": rows_and_columns, "03_fan": fan}
