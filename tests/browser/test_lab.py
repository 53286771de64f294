"""A student's session: JupyterLab in a browser, Run All from the menu, a slider moved, a game played by keys and seen to respond."""

import shutil
from pathlib import Path

import ipykernel
import nbformat
import pytest
from lab import Lab, wait_for

from conftest import find_browser
from puffer_min.course import Player

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = [path for path in [ROOT / "chapters" / "01_results.ipynb"] if path.exists()]
pytestmark = pytest.mark.browser

BY_HAND, SLIDER, BY_POLICY, BROKEN, DASHBOARD, WAITING = range(6)
SCRATCH = ["""\
import time, numpy as np
from threading import Event
from puffer_min.course import Player, training_dashboard
by_hand = Player("squared", show_observation=True)
by_hand""", """\
from puffer_min.course import explore, plot_bars
def draw(speed=2):
    return plot_bars({"one": 1, "other": 10 ** speed})
explore(draw, [{"speed": 1}], speed=(1, 6))""", """\
by_policy = Player("squared", lambda observations: np.full(1, 4, np.int32), fps=60)
by_policy""", """\
Player("squared", lambda observations: np.zeros(7, np.int32))""", """\
dashboard = training_dashboard("made up")
for i in range(1, 61):
    time.sleep(0.05)
    dashboard(dict(step=i, total_steps=60, seconds=i / 20, sps=20.0, episode_return=i ** 0.5))""", """\
done = Event()"""]


def write(path, *cells):
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A server on a copy of the chapters, beside the packages, with the notebooks of these tests."""
    folder = tmp_path_factory.mktemp("course")
    shutil.copytree(ROOT / "chapters", folder / "chapters")
    for name in ("envs", "puffer_min"):
        (folder / name).symlink_to(ROOT / name)
    write(folder / "scratch.ipynb", *map(nbformat.v4.new_code_cell, SCRATCH))
    data, _ = Player("squared")._repr_mimebundle_()
    output = nbformat.v4.new_output("execute_result", data, execution_count=1)
    write(folder / "saved.ipynb", nbformat.v4.new_code_cell('Player("squared")', outputs=[output], execution_count=1))
    with Lab(folder, find_browser()) as opened:
        yield opened


@pytest.fixture(scope="module")
def notebook(lab):
    """The scratch notebook, all cells run from the menu."""
    with lab.open("scratch.ipynb") as opened:
        opened.run_all(120)
        yield opened
        assert opened.page_errors == []


@pytest.fixture
def by_hand(notebook):
    """The first player, paused, in human hands, with the keyboard."""
    player = notebook.players()[0]
    if player.button("Pause").count():
        player.button("Pause").click()
        wait_for(lambda: player.button("Play").count(), 20, "the pause")
    player.button("You").click()
    player.button("Restart").click()                            # a click on a button gives the game the keyboard
    player.wait_field("step", "0")
    return player


def test_a_slider_moves_and_its_figure_is_drawn_anew(notebook):
    slider = notebook.sliders()[0]
    before = notebook.output_of(slider)
    assert "data:image/png" in before
    assert notebook.move_slider(0) == ("2", "4")
    wait_for(lambda: notebook.output_of(slider) != before, 20, "a new figure")


@pytest.mark.parametrize("key, action", [("ArrowUp", "up"), ("ArrowLeft", "left"), ("d", "right"), ("S", "down")])
def test_a_game_key_makes_one_step_while_the_game_is_paused(by_hand, key, action):
    before = by_hand.pixels()
    by_hand.press(key)
    by_hand.wait_field("action", action)
    assert by_hand.field("step") == "1"
    wait_for(lambda: by_hand.pixels() != before, 10, "the agent to move in the picture")


def test_a_click_starts_the_game_space_stops_it_and_a_held_key_is_held(by_hand):
    by_hand.click()
    wait_for(lambda: int(by_hand.field("step")) >= 5, 20, "the game to go on by itself")
    assert by_hand.notice() == "you play"
    by_hand.root.page.keyboard.down("ArrowRight")
    wait_for(lambda: "episode 1 over" in by_hand.notice(), 20, "the agent to leave the square")
    assert "flash" in by_hand.root.get_attribute("class")
    assert by_hand.field("action") == "right"
    by_hand.root.page.keyboard.up("ArrowRight")
    by_hand.wait_field("action", "stay")
    by_hand.press(" ")
    wait_for(lambda: by_hand.notice().startswith("paused"), 20, "the pause")
    stopped = by_hand.field("step")
    by_hand.press("n")
    by_hand.wait_field("step", str(int(stopped) + 1))


def test_the_keys_of_the_notebook_stay_out_of_the_game(notebook, by_hand):
    cells = len(notebook.cells())
    for key in "ddaabx":                                        # in command mode: delete, insert above, below, cut
        by_hand.press(key)
    by_hand.wait_field("step", "4")
    assert len(notebook.cells()) == cells


def test_the_speed_slider_reaches_the_kernel(by_hand):
    for fps in (2, 60, 10):
        by_hand.set_speed(fps)
        wait_for(lambda fps=fps: by_hand.root.locator(".speed output").inner_text() == f"{fps} FPS", 10, f"{fps} FPS")


def test_the_policy_plays_beside_the_other_player_and_a_person_takes_over(notebook, by_hand):
    watched = notebook.players()[1]
    watched.click()
    wait_for(lambda: int(watched.field("episodes")) >= 2, 20, "two episodes of the policy")
    assert watched.notice() != "you play" and watched.field("action") == "right"
    watched.press("p")
    watched.wait_field("action", "stay")
    watched.button("Random").click()
    wait_for(lambda: watched.field("action") in ("up", "down", "left"), 20, "a random action")
    watched.press(" ")
    wait_for(lambda: watched.button("Play").count(), 20, "the pause")
    assert by_hand.field("step") == "0"


def test_the_agents_view_is_drawn_and_put_away(by_hand):
    eye = by_hand.root.locator(".eye")
    assert eye.is_visible() and eye.locator("canvas").evaluate("(canvas) => [canvas.width, canvas.height]") == [11, 11]
    for visible in (False, True):
        by_hand.root.locator("input.observe").click()
        wait_for(lambda visible=visible: eye.is_visible() == visible, 10, "the agent's view to change")


def test_an_error_is_one_sentence_under_the_picture(notebook):
    broken = notebook.players()[2]
    broken.click()
    wait_for(lambda: broken.root.locator(".error").inner_text(), 20, "the sentence")
    sentence = "ValueError: the policy gave actions of shape (7,), expected (1,), one row for each agent"
    assert broken.root.locator(".error").inner_text() == sentence
    wait_for(lambda: broken.button("Play").count(), 20, "the play to stop")


def test_the_dashboard_is_alive_while_it_trains_and_a_picture_afterwards(notebook):
    assert notebook.cells()[DASHBOARD]["mime"] == [["text/plain", "image/png"]]
    notebook.run_cell(DASHBOARD)
    cell = notebook.page.locator(".jp-CodeCell").nth(DASHBOARD)
    cell.locator("svg polyline").first.wait_for()
    assert "of 60" in cell.inner_text()
    cell.locator("img").wait_for()
    assert cell.locator("svg polyline").count() == 0


@pytest.mark.skipif(ipykernel.version_info < (7,), reason="ipykernel before 7 answers widgets only between two cells")
def test_the_game_can_be_played_while_a_cell_runs(notebook, by_hand):
    notebook.run_cell(WAITING, "done.wait(60)")
    wait_for(lambda: notebook.cells()[WAITING]["pending"], 20, "the cell to run")
    by_hand.screen.focus()
    by_hand.press("ArrowUp")
    by_hand.wait_field("action", "up")
    assert notebook.cells()[WAITING]["pending"]
    notebook.interrupt()
    wait_for(lambda: not notebook.cells()[WAITING]["pending"], 20, "the cell to stop")


def test_a_saved_notebook_shows_the_first_seconds_before_anything_is_run(lab):
    with lab.open("saved.ipynb") as opened:
        picture = opened.page.locator(".jp-OutputArea-output img")
        picture.wait_for()
        width, height = picture.evaluate("(img) => [img.naturalWidth, img.naturalHeight]")
        assert width > 3 * height > 300                        # boards side by side


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_runs_from_the_menu_its_slider_moves_and_its_game_is_played(lab, path):
    with lab.open(f"chapters/{path.name}") as opened:
        opened.run_all(300)
        before, after = opened.move_slider(0)
        assert before != after
        player = next(player for player in opened.players() if player.button("You").count())
        player.button("You").click()
        player.click()
        wait_for(lambda: int(player.field("step")) >= 3, 30, "the game to go on by itself")
        player.press(" ")
        wait_for(lambda: player.button("Play").count(), 20, "the pause")
        for key, words in player.legend().items():
            step, picture = int(player.field("step")), player.pixels()
            player.press(key)
            player.wait_field("step", str(step + 1))
            assert player.field("action") == words
            wait_for(lambda picture=picture: player.pixels() != picture, 10, "the picture to change")
        assert opened.page_errors == []
