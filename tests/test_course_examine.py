"""`examine`: one table each for the annotation, the calls and the lines, of the same source."""

import pytest
from test_course_profile import GAME, needs_cython_profiling

from puffer_min.course import examine


@pytest.fixture(scope="module")
def found():
    def thousand(module):
        game = module.Game()
        return lambda: game.step(1000)
    return examine(GAME, thousand, "Game.step", "tiny", lines="Game.loop", name="game", shown=3)


@needs_cython_profiling
def test_calls_and_lines_are_those_of_one_run(found):
    assert found.calls.row("move").calls == 1000
    loop = {row.source.strip(): row.hits for row in found.lines.table}
    assert loop["self.move(i)"] == 1000


def test_the_scores_are_those_of_a_build_without_hooks(found):
    scores = {name: score for name, score, *_ in found.scores()}
    assert scores["tiny"] == "0" and int(scores["Game.step"]) > 0


@needs_cython_profiling
def test_it_draws_three_tables_and_says_that_shares_are_no_speeds(found):
    assert found._repr_html_().count("<table>") == 3 and repr(found).count("Shares, not speeds.") == 2
    assert len(found.calls.rows()) == 3


def test_it_says_nothing_of_the_hook_that_it_asked_for_itself(found):
    assert "linetrace" not in repr(found)
