"""The debugging lab: an environment that does not train, six tests to buy, and one accusation.

    lab = Lab("breakout", case=3)           somebody broke something; the number decides what
    lab.suspects                            what it can be: name -> a sentence
    lab.buy("ends")                         evidence: lines and a picture, never an opinion
    lab.accuse("end")                       a Verdict: right or wrong, tests used, and how few would do

The tests are stream 003's, in its order: play it by hand, look at the first observation, at the scale of all
of them, at the ends, let the same learner solve a task known to be good, and watch a policy at two frames a
second. All are seeded, and none needs a screen. The broken versions are those of faults.py; one case leaves
the environment alone and breaks the learner. `expected_tests` says what an order of buying costs on average.
"""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from html import escape

import numpy as np

import envs
import puffer_min
from envs.core.settings import choice, whole
from puffer_min.course import faults
from puffer_min.course.faults import PARTS, TRIPLE_TRIAD, Broken
from puffer_min.course.film import film_strip
from puffer_min.env.actions import random_legal_actions

TESTS = ("play", "first observation", "scale", "ends", "control experiment", "two frames a second")

LEARNER = {"num_envs": 128, "horizon": 32, "minibatch_size": 2048, "update_epochs": 2, "encoder": "scaled",
           "learning_rate": 0.01, "gamma": 0.995, "gae_lambda": 0.97, "ent_coef": 0.01, "vf_coef": 0.05,
           "torch_threads": 1}
STUCK = {"ent_coef": 10.0, "anneal_ent": False}     # stream 003 raised the entropy bonus; here it stayed


@dataclass(frozen=True)
class Case:
    """A suspect: what is broken, and which tests show it (held by tests/test_debugging.py)."""

    sentence: str
    shown_by: tuple[str, ...]
    fault: type[Broken] = Broken
    learner: Mapping = field(default_factory=dict)


def by(fault: type[Broken], *shown_by: str) -> Case:
    return Case(fault.sentence, shown_by, fault)


STUCK_LEARNER = Case("the environment is innocent: the learner's entropy bonus is far too large",
                     ("control experiment",), learner=STUCK)
CASES = {
    "breakout": {
        "scale": by(faults.Unscaled, "first observation", "scale"),
        "first": by(faults.EmptyFirst, "first observation"),
        "division": by(faults.WholeDivision, "first observation", "scale"),
        "axes": by(faults.AxesExchanged, "first observation"),
        "end": by(faults.NeverEnds, "ends"),
        "sign": by(faults.WrongSign, "play", "two frames a second"),
        "bytes": by(faults.FirstByte, "play", "two frames a second"),
        "learner": STUCK_LEARNER,
    },
    "triple_triad": {
        "first": by(faults.EmptyFirst, "first observation"),
        "division": by(faults.CardsDivided, "scale"),
        "axes": by(faults.BoardTurned, "play", "two frames a second"),
        "end": by(faults.NeverEnds, "ends"),
        "sign": by(faults.WrongSign, "play"),
        "bytes": by(faults.FirstByte, "play", "two frames a second"),
        "stalling": by(faults.FreeStalling, "two frames a second"),
        "learner": STUCK_LEARNER,
    },
}
"""Game -> name of a suspect -> Case. One of them is the case of a lab."""


def shows(game: str) -> dict[str, set[str]]:
    """Test -> the suspects that it shows."""
    return {test: {name for name, case in CASES[game].items() if test in case.shown_by} for test in TESTS}


def expected_tests(order: Sequence[str], table: Mapping[str, set[str]], suspects) -> float:
    """Tests that an order of buying needs on average, every suspect being as likely.

    order    tests, in the order in which they are bought until one shows something
    table    test -> the suspects that it shows
    A test that shows its suspect ends the search; so does being left with one suspect. Raises ValueError if
    the order leaves more than one.
    """
    left, used, total = set(suspects), 0, 0
    for test in order:
        if len(left) <= 1:
            break
        used += 1
        total += used * len(left & table[test])
        left -= table[test]
    if len(left) > 1:
        raise ValueError(f"the order {', '.join(order)} leaves {', '.join(sorted(left))}, expected tests "
                         "that leave one suspect at most")
    return (total + used * len(left)) / len(suspects)


@dataclass
class Evidence:
    """What a test shows: `text`, a `picture` with its alt text `alt`, and the `numbers` in the text."""

    test: str
    text: str
    numbers: dict
    picture: object = None
    alt: str = ""

    def __repr__(self):
        return f"{self.test}\n{self.text}"

    def _repr_html_(self):
        shown = f"<b>{self.test}</b><pre>{escape(self.text)}</pre>"
        if self.picture is None:
            return shown
        file = io.BytesIO()
        self.picture.savefig(file, format="png", dpi=80)
        code = base64.b64encode(file.getvalue()).decode()
        return f'{shown}<img alt="{escape(self.alt)}" src="data:image/png;base64,{code}">'


@dataclass(frozen=True)
class Verdict:
    """Whether the accusation was right, what was bought, and the fewest tests that would have shown it."""

    right: bool
    bought: tuple[str, ...]
    truth: str
    shown_by: tuple[str, ...]

    def __str__(self):
        tests = f"{len(self.bought)} test{'s' * (len(self.bought) != 1)}"
        outcome = "Right" if self.right else "Wrong"
        return (f"{outcome}, after {tests}: {self.truth}. One would have done: "
                f"{' or '.join(self.shown_by)}.")

    __repr__ = __str__


class Lab:
    """A broken `game`, breakout or triple_triad. The number `case` decides what is broken.

    Raises ValueError for another game, a case that is no whole number, an unknown test or suspect.
    """

    def __init__(self, game: str = "breakout", case: int = 0):
        self.game, self.case = choice("game", game, CASES), whole("case", case, 0)
        self.suspects = {name: each.sentence for name, each in CASES[game].items()}
        self._name = str(np.random.default_rng([self.case, len(game)]).choice(list(self.suspects)))
        self.bought: dict[str, Evidence] = {}

    def buy(self, test: str) -> Evidence:
        """Make one of TESTS. A test that was bought before is shown again and costs nothing."""
        choice("test", test, TESTS)
        if test not in self.bought:
            self.bought[test] = evidence(self.game, CASES[self.game][self._name], test)
        return self.bought[test]

    def accuse(self, suspect: str) -> Verdict:
        """Name what is broken, and hear what it was."""
        choice("suspect", suspect, self.suspects)
        case = CASES[self.game][self._name]
        return Verdict(suspect == self._name, tuple(self.bought), case.sentence, case.shown_by)

    def __repr__(self):
        return f"Lab({self.game}, case {self.case}): {len(self.bought)} of {len(TESTS)} tests bought"


# ---------------------------------------------------------------------- the tests

def evidence(game: str, case: Case, test: str) -> Evidence:
    """Make `test` on a case. The same arguments give the same evidence, trained policies apart from their
    last digits on another processor.
    """
    make = {"play": play_breakout if game == "breakout" else play_cards, "first observation": look_first,
            "scale": look_at_all, "ends": count_ends, "control experiment": control,
            "two frames a second": watch}[test]
    return make(game, case)


def broken(game: str, case: Case, num_envs: int, seed: int = 0, **settings) -> Broken:
    """The game as a learner meets it in this case."""
    settings = case.fault.settings | settings
    return case.fault(envs.make(game, num_envs, seed=seed, report_interval=0, **settings))


def play_breakout(game, case) -> Evidence:
    """Four games at once: right is held in all of them, then a ball is fired."""
    with closing(broken(game, case, 4)) as env:
        env.reset()
        start = env.env.observations[:, 0].copy()
        for _ in range(8):
            env.step(np.full(4, 3, np.int32))
        moved = env.env.observations[:, 0] - start
        pictures = [env.render(0), env.render(3)]
        lines = [f"game {i}: right was held for 8 steps, the paddle went {way:+.2f} of the width"
                 for i, way in enumerate(moved)]
        reward, step = 0.0, 0
        while not reward and step < 400:
            reward, step = float(env.step(np.full(4, 1, np.int32))[1][0]), step + 1
        lines.append(f"game 0: a ball was fired, and the first brick broke: reward {reward:+g}")
        strip = film_strip([*pictures, env.render(0)], ["game 0, right was held", "game 3, right was held",
                                                        f"game 0, a brick broke: {reward:+g}"])
    return Evidence("play", "\n".join(lines), {"moved": moved.round(4).tolist(), "reward": reward}, strip,
                    "Breakout by hand: two games after the right key was held, and the first brick.")


def play_cards(game, case) -> Evidence:
    """Four tables: card 1 is put on a free cell off the diagonal, then chance plays on to the first end."""
    with closing(broken(game, case, 4, opponent="random")) as env:
        env.reset()
        before = taken_cells(env)
        # a cell off the diagonal: it would be another one if rows and columns were exchanged
        cells = [next(cell for cell in (1, 2, 5) if not row[cell]) for row in before]
        env.step(np.full(4, 1, np.int32))
        env.step(np.array(cells, np.int32) + 6)
        new = [np.flatnonzero(row).tolist() for row in taken_cells(env) & ~before]
        pictures = [env.render(0), env.render(3)]
        lines = [f"table {i}: card 1 was put on cell {cell}; new on the board, the answer included: cells "
                 f"{' and '.join(map(str, there)) or 'none'}"
                 for i, (cell, there) in enumerate(zip(cells, new, strict=True))]
        random, log = np.random.default_rng(0), {}
        while log.get("n") != 1:
            rewards = env.step(random_legal_actions(env, random))[1]
            log = env.env.log()
        reward = float(rewards[env.env.terminals.argmax()])
        lines.append(f"chance played on: a game was {'won' if log['wins'] else 'not won'} with "
                     f"{log['score']:.0f} of 10 cards, reward {reward:+g}")
        strip = film_strip(pictures, [f"table 0, card 1 on cell {cells[0]}", f"table 3, on cell {cells[3]}"])
    numbers = {"as placed": [cell in there for cell, there in zip(cells, new, strict=True)],
               "won": bool(log["wins"]), "reward": reward}
    return Evidence("play", "\n".join(lines), numbers, strip,
                    "Two tables of triple triad after a card was selected and put on a cell.")


def taken_cells(env) -> np.ndarray:
    """Bool (tables, 9): where a card lies in the simulator."""
    seen = env.env.observations
    return (seen[:, TRIPLE_TRIAD["cells that are mine"]] | seen[:, TRIPLE_TRIAD["cells that are theirs"]]) > 0


def named(game, row) -> dict[str, np.ndarray]:
    return {name: np.atleast_1d(row[place]) for name, place in PARTS[game].items()}


def look_first(game, case) -> Evidence:
    """The observation after a reset, and after one step, beside the picture of the game."""
    with closing(broken(game, case, 1)) as env:
        first = env.reset()[0][0].copy()
        picture = env.render(0)
        second = env.step(np.zeros(1, np.int32))[0][0].copy()
    lines = [f"{'':22}{'after reset':>22}{'one step later':>22}"]
    for (name, then), now in zip(named(game, first).items(), named(game, second).values(), strict=True):
        lines.append(f"{name:22}{in_short(then):>22}{in_short(now):>22}")
    return Evidence("first observation", "\n".join(lines),
                    {"nonzero": int(np.count_nonzero(first)), "first": first.astype(float).tolist()},
                    film_strip([picture], ["the game at this moment"], rows=1),
                    "The game at the moment of its first observation.")


def in_short(values) -> str:
    return f"{values[0]:.4g}" if len(values) == 1 else f"{values.min():.3g} to {values.max():.3g}"


def collect(game, case, num_envs=64, steps=400):
    """Observations (steps, num_envs, numbers) and flags of random play, and the simulator's log of it."""
    with closing(broken(game, case, num_envs)) as env:
        random, rows, flags = np.random.default_rng(0), [], 0
        env.reset()
        for _ in range(steps):
            observations, _, terminals, truncations, _ = env.step(random_legal_actions(env, random))
            rows.append(observations[::8].copy())
            flags += int((terminals | truncations).sum())
        return np.stack(rows), flags, env.log()


def look_at_all(game, case) -> Evidence:
    """The range of each part of the observation over 400 steps of random play."""
    rows = collect(game, case)[0].astype(float)
    lines, spread = [f"{'':22}{'least':>10}{'mean':>10}{'most':>10}{'varies':>10}"], {}
    for name, place in PARTS[game].items():
        part = np.atleast_3d(rows[..., place])
        spread[name] = float(part.std(axis=(0, 1)).mean())
        lines.append(f"{name:22}{part.min():10.3g}{part.mean():10.3g}{part.max():10.3g}{spread[name]:10.3g}")
    return Evidence("scale", "\n".join(lines), {"most": float(np.abs(rows).max()), "spread": spread})


def count_ends(game, case) -> Evidence:
    """Games that the simulator says it ended, and ends that the learner was told of."""
    _, flags, log = collect(game, case)
    ended = log.get("n", 0)
    return Evidence("ends", f"games that ended in the simulator  {ended}\nends that the learner was told of "
                    f"{flags}\nmean length of a game in steps      {log.get('episode_length', 0):.1f}",
                    {"simulator": int(ended), "learner": flags})


def trained(env, case, steps, **settings):
    """A policy after `steps` with the case's learner, and the history."""
    config = puffer_min.Config(total_steps=steps, **LEARNER | settings | dict(case.learner))
    with tempfile.TemporaryDirectory() as folder:
        return puffer_min.train(env, config, run_dir=folder)


def control(game, case) -> Evidence:
    """The same learner on CartPole, of which everybody knows that it can be learned."""
    history = trained("cartpole", case, 200_000, gamma=0.99, gae_lambda=0.95).history
    reached = max(row["episode_return"] or 0.0 for row in history[-5:])
    return Evidence("control experiment", f"CartPole, same learner: {reached:.0f} steps upright after "
                    f"{history[-1]['step']:,} steps; chance keeps it for 22", {"return": float(reached)})


def watch(game, case) -> Evidence:
    """A policy after a short training, frame by frame, and what it does in 128 games."""
    with closing(broken(game, case, LEARNER["num_envs"])) as env:
        policy = trained(env, case, 250_000 if game == "triple_triad" else 100_000).policy
        names, taken = env.action_names, np.zeros(int(env.single_action_space.n))
        observations, _ = env.reset(1)
        policy.reset()
        frames, captions, paid = [], [], 0.0
        for step in range(48):
            masks = (env.action_masks(),) if env.masks_actions else ()
            actions = policy.act(observations, *masks)
            taken += np.bincount(actions, minlength=len(taken))
            observations, rewards, *_ = env.step(actions)
            paid += float(rewards.sum())
            if step < 12:
                frames.append(env.render(1))
                captions.append(f"{names[actions[1]]}, {rewards[1] + 0.0:+.2g}")        # no -0
    lines = [f"{name:14}{share:7.1%}" for name, share in zip(names, taken / taken.sum(), strict=True)]
    lines += ["", f"all rewards of these 48 steps: {paid:+.4g}"]
    return Evidence("two frames a second", "actions in 128 games\n" + "\n".join(lines),
                    {"shares": (taken / taken.sum()).round(4).tolist(), "captions": captions, "paid": paid},
                    film_strip(frames, captions, rows=3),
                    f"Twelve steps of a game of {game}, each with the action and the reward.")
