"""The contract of an environment: every check of checks.py in order, and the report of what they found.

    report = check(env)                 # a PufferEnv, or a native environment
    assert report.ok, report

`puffer_min.check_environment` (commands/check) takes names, classes and environments of Gymnasium and
PettingZoo too.
"""

from dataclasses import dataclass

from puffer_min.env import checks
from puffer_min.env.checks import Doubt, Problem, Subject, noted

CHECKS = {
    "attributes": (checks.attributes, ()),
    "shapes and dtypes": (checks.shapes_and_dtypes, ("attributes",)),
    "first observation": (checks.first_observation, ("shapes and dtypes",)),
    "play": (checks.play, ("shapes and dtypes",)),
    "same arrays": (noted("same arrays", "reset and step return the environment's own arrays"), ("play",)),
    "addresses": (noted("addresses", "no array moves"), ("play",)),
    "observations in space": (noted("observations in space", "finite and within the bounds"), ("play",)),
    "rewards": (noted("rewards", "finite"), ("play",)),
    "infos": (noted("infos", "a list of dicts"), ("play",)),
    "determinism": (checks.determinism, ("play",)),
    "fresh results": (checks.fresh_results, ("determinism",)),
    "flags": (checks.flags, ("fresh results",)),
    "log": (checks.log, ("infos", "rewards", "flags")),
    "autoreset": (checks.autoreset, ("first observation", "flags")),
    "scale": (checks.scale, ("play",)),
    "dead rows": (checks.dead_rows, ("play",)),
    "random state": (checks.random_state, ("play",)),
    "separate objects": (checks.separate_objects, ("attributes",)),
    "shared state": (checks.shared_state, ("separate objects", "play")),
    "independence": (checks.independence, ("determinism", "shared state")),
    "saved state": (checks.saved_state, ("independence",)),
    "found again": (checks.found_again, ("attributes",)),
    "actions": (checks.actions, ("play",)),
    "bind": (checks.bind, ("determinism", "addresses")),
    "close": (checks.close, ("shapes and dtypes",)),
}
"""Name -> (check, the checks that must have passed), in the order in which they run.

A check whose need failed or was skipped is skipped: so one mistake shows as one line and not as ten.
"""


@dataclass(frozen=True)
class Line:
    """One check: its name, its verdict ("ok", "doubt", "problem" or "skipped") and a sentence."""

    name: str
    verdict: str
    sentence: str


@dataclass(frozen=True)
class Report:
    """The lines of all checks of `subject`; `ok` unless there is a problem, `print(report)` for a table."""

    subject: str
    lines: tuple[Line, ...]

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def problems(self) -> tuple[str, ...]:
        """The names of the checks that failed."""
        return tuple(line.name for line in self.lines if line.verdict == "problem")

    @property
    def doubts(self) -> tuple[str, ...]:
        """The names of the checks that passed but make trouble in training likely."""
        return tuple(line.name for line in self.lines if line.verdict == "doubt")

    def __str__(self) -> str:
        problems = f"{len(self.problems)} problem{'s' * (len(self.problems) != 1)}"
        doubts = f"{len(self.doubts)} doubt{'s' * (len(self.doubts) != 1)}"
        table = [f"{line.verdict:8} {line.name:22} {line.sentence}" for line in self.lines]
        return "\n".join([*table, f"{self.subject}: {problems}, {doubts} in {len(self.lines)} checks."])


def check(env, make=None, *, name=None, steps=1000, seed=0) -> Report:
    """Run every check on `env`, which is closed by the last one; everything it does wrong is in the report.

    make     function of num_envs that makes another environment like it; None skips the comparison of two
    name     the name of the environment in the report
    steps    random steps of the play that most checks look at
    """
    lines = [Line("construction", "ok", repr(env))]
    subject, unsound = Subject(env, make, steps=steps, seed=seed), set()
    for check_name, (run, needs) in CHECKS.items():
        because = [needed for needed in needs if needed in unsound]
        if because:
            verdict, sentence = "skipped", f"see {because[0]}"
        else:
            try:
                verdict, sentence = "ok", run(subject)
            except Doubt as doubt:
                verdict, sentence = "doubt", str(doubt)
            except Problem as problem:
                verdict, sentence = "problem", str(problem)
            except (Exception, SystemExit) as error:
                verdict, sentence = "problem", f"raised {type(error).__name__}: {error}"
        if verdict in ("problem", "skipped"):
            unsound.add(check_name)
        lines.append(Line(check_name, verdict, sentence))
    return Report(name or type(env).__name__, tuple(lines))


def not_made(name, error) -> Report:
    """The report of an environment whose construction raised `error`."""
    return Report(name, (Line("construction", "problem", f"{type(error).__name__}: {error}"),))
