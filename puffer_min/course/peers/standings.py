"""The table of a comparison, which grows run by run."""

from puffer_min.course.bench import html_table, text_table
from puffer_min.course.peers.terms import Run
from puffer_min.measure import quantity


class Standings:
    """Runs by name. `standings[name]` is a Run; `add` them one by one, `note` why one came out as it did."""

    HEAD = ("library", "steps/s", "times the first", "steps", "mean return", "475 reached after", "why")

    def __init__(self, title: str):
        self.title, self.runs, self.notes = title, {}, {}

    def __getitem__(self, name: str) -> Run:
        return self.runs[name]

    def __iter__(self):
        return iter(self.runs)

    def add(self, run: Run, name: str | None = None) -> Run:
        """Enter a run, under its own name or another; a second one of the same name takes the place of the
        first.
        """
        self.runs[name or run.name] = run
        return run

    def note(self, name: str, why: str) -> None:
        """Say in the table why a run came out as it did; a name that is not there, because its library is
        not, is passed over.
        """
        if name in self.runs:
            self.notes[name] = why

    @property
    def speeds(self) -> dict[str, float]:
        """Name -> steps a second."""
        return {name: run.sps for name, run in self.runs.items()}

    def ratio(self, name: str, to: str) -> float:
        """How many times the steps a second of another."""
        return self[name].sps / self[to].sps

    def rows(self) -> list[tuple[str, ...]]:
        """The table's rows as text."""
        first = next(iter(self.runs.values()))
        return [(name, quantity(run.sps), f"{run.sps / first.sps:.3g} x", quantity(run.steps),
                 f"{run.mean_return:.0f}",
                 "" if run.solved_after is None else f"{run.solved_after:.1f} s", self.notes.get(name, ""))
                for name, run in self.runs.items()]

    def __repr__(self):
        return (f"{self.title}\n{text_table([self.HEAD, *self.rows()])}" if self.runs
                else f"{self.title}: no run yet")

    def _repr_html_(self):
        return html_table(self.HEAD, self.rows(), self.title, left=(0, 6)) if self.runs else repr(self)
