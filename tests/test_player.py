"""The Player without a page: what Python sees, what would be sent, and what stays in a saved notebook."""

import base64
import io
import threading

import gymnasium
import nbformat
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from nbclient import NotebookClient
from PIL import Image

import envs
from puffer_min.commands.game import Game, key_actions
from puffer_min.course.player import Player, observation_grid, png
from puffer_min.env.puffer_env import PufferEnv

RIGHT = 4


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def go_right(observations):
    return np.full(len(observations), RIGHT, np.int32)


class Pair(PufferEnv):
    """Two agents; each is rewarded with its own action, and agent 1 ends every third step."""

    keys = {"x": 2}
    action_names = ("none", "one", "two")
    idle_action = None

    def __init__(self):
        self.single_observation_space, self.single_action_space, self.num_agents = Box(-1, 1, (2,), np.float32), Discrete(3), 2
        super().__init__()

    def reset(self, seed=None):
        self.begin_reset(seed)
        self.clock = 0
        return self.observations, []

    def step(self, actions):
        self.begin_step(actions)
        self.clock += 1
        self.rewards[:] = self.actions
        self.terminals[1] = self.clock % 3 == 0
        return self.finish_step()

    def render(self, index=0):
        return np.full((4, 6, 3), self.clock, np.uint8)


# ---------------------------------------------------------------------- playing from Python

def test_a_pressed_key_counts_for_one_step():
    player = Player(envs.make("squared"))
    player.press("ArrowUp")
    assert player.step()["action"] == "up"
    assert player.step()["action"] == "stay"
    player.press("d")
    assert player.step(3)["action"] == "stay" and player.readout["step"] == 5


def test_the_picture_sent_is_what_the_environment_draws():
    env = envs.make("squared")
    player = Player(env)
    for key in ("ArrowUp", "ArrowLeft"):
        player.press(key)
        player.step()
        assert (opened(player.picture) == env.render()).all()


def test_return_and_length_run_until_the_step_on_which_the_episode_ends():
    player = Player(envs.make("squared"), go_right)             # leaves the 11 x 11 square at the sixth step, unless the target is there
    env = player.game.env
    total = length = episodes = 0
    for _ in range(40):
        numbers = player.step()
        total, length = total + float(env.rewards[0]), length + 1
        assert (numbers["return"], numbers["length"]) == (total, length)
        if env.terminals[0]:
            episodes += 1
            assert numbers["ended"] and (numbers["last_return"], numbers["last_length"]) == (total, length)
            total = length = 0
        else:
            assert not numbers["ended"]
        assert numbers["episodes"] == episodes
    assert episodes > 3


def test_w_a_s_d_stand_beside_the_arrows_unless_the_environment_uses_them():
    env = envs.make("squared")
    keys = key_actions(env)
    assert keys["w"] == keys["ArrowUp"] and keys["d"] == keys["ArrowRight"]

    class OwnLetters(Pair):
        keys = {"ArrowUp": 1, "w": 2}
    assert key_actions(OwnLetters())["w"] == 2


def test_an_environment_without_keys_is_played_with_digits():
    class Silent(Pair):
        keys = {}
    player = Player(Silent(), controller="human")
    player.press("1")
    assert player.step()["action"] == "one"


def test_without_an_idle_action_the_last_action_goes_on():
    player = Player(Pair())
    assert player.step()["action"] == "none"
    player.press("x")
    assert [player.step()["action"] for _ in range(3)] == ["two"] * 3


def test_a_person_drives_one_agent_and_the_policy_the_others():
    player = Player(Pair(), lambda observations: np.ones(2, np.int32), agent=1, controller="human")
    player.press("x")
    player.step()
    assert player.game.env.actions.tolist() == [1, 2]
    player.controller = "policy"
    player.step()
    assert player.game.env.actions.tolist() == [1, 1]
    assert player.step()["episodes"] == 1                       # agent 1 is the one that is watched


def test_chance_is_seeded():
    def actions(seed):
        player = Player(Pair(), seed=seed, controller="random")
        return [player.step() and player.game.env.actions.tolist() for _ in range(20)]
    assert actions(0) == actions(0) != actions(1)


def test_a_policy_is_reset_and_told_which_episodes_ended():
    class Recurrent:
        def __init__(self):
            self.calls = []

        def act(self, observations):
            self.calls.append("act")
            return np.zeros(2, np.int32)

        def reset(self):
            self.calls.append("reset")

        def observe_ends(self, ends):
            self.calls.append(ends.tolist())

    policy = Recurrent()
    player = Player(Pair(), policy)
    player.step(3)
    player.restart()
    assert policy.calls == ["reset", "act", [False, False], "act", [False, False], "act", [False, True], "reset"]
    assert player.readout["step"] == 0


def test_a_gymnasium_environment_is_taken_over():
    class Counter(gymnasium.Env):
        render_mode = "rgb_array"
        observation_space, action_space = Box(0, 9, (1,), np.float32), Discrete(2)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.count = 0
            return np.zeros(1, np.float32), {}

        def step(self, action):
            self.count += 1
            return np.full(1, self.count, np.float32), float(action), self.count == 4, False, {}

        def render(self):
            return np.full((2, 2, 3), self.count, np.uint8)

    player = Player(Counter())
    player.press("1")
    assert player.step()["reward"] == 1
    assert player.step(3)["episodes"] == 1


# ---------------------------------------------------------------------- the agent's view

def test_a_flat_square_is_shown_as_a_grid_and_a_short_vector_as_numbers():
    player = Player(envs.make("squared"), show_observation=True)
    assert opened(player.seen).shape == (11, 11, 3)
    assert len({tuple(pixel) for pixel in opened(player.seen).reshape(-1, 3)}) == 3        # empty, agent, target
    numbers = Player(Pair(), show_observation=True)
    assert numbers.seen == b"" and numbers.readout["values"] == [0.0, 0.0]
    long = Player("breakout", show_observation=True)
    assert len(long.readout["values"]) + long.readout["more"] == long.game.env.observations.shape[1]
    numbers.show_observation = False
    assert numbers.readout["values"] == []


@pytest.mark.parametrize("shape, grid", [((7, 7), (7, 7)), ((7, 7, 3), (7, 7)), ((3, 7, 8), (7, 8)), ((49,), (7, 7)), ((4,), None),
                                         ((12,), None)])
def test_the_grid_of_an_observation(shape, grid):
    found = observation_grid(np.zeros(shape))
    assert (found if found is None else found.shape) == grid


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (264, 264)])
def test_the_png_holds_the_pixels(shape):
    image = np.random.default_rng(0).integers(256, size=(*shape, 3), dtype=np.uint8)
    assert (opened(png(image)) == image).all() and (opened(png(image[::-1])) == image[::-1]).all()


# ---------------------------------------------------------------------- messages of the page

def test_every_message_is_answered_with_its_number():
    player = Player(envs.make("squared"))
    player.playing = True
    for tick, kind in enumerate(("tick", "restart", "step", "tick"), 1):
        player.answer(None, {"kind": kind, "key": None, "tick": tick}, [])
        assert player.readout["tick"] == tick
    assert player.readout["step"] == 2


def test_a_tick_that_arrives_after_the_pause_does_not_step():
    player = Player(envs.make("squared"))
    player.answer(None, {"kind": "tick", "key": "ArrowUp", "tick": 1}, [])
    assert (player.readout["step"], player.readout["tick"]) == (0, 1)


def test_an_error_in_a_step_is_one_sentence_in_the_widget_and_stops_the_play():
    player = Player(envs.make("squared"), lambda observations: np.zeros(7, np.int32))
    player.playing = True
    player.answer(None, {"kind": "tick", "key": None, "tick": 1}, [])
    assert player.readout["error"] == "ValueError: the policy gave actions of shape (7,), expected (1,), one row for each agent"
    assert player.readout["tick"] == 1 and not player.playing
    with pytest.raises(ValueError, match="shape"):
        player.step()
    player.controller = "random"
    player.game.policy = None
    player.answer(None, {"kind": "step", "key": None, "tick": 2}, [])
    assert player.readout["error"] == "" and player.readout["step"] == 1


def test_two_threads_may_step_one_player():
    player = Player(Pair())
    threads = [threading.Thread(target=lambda: [player.step() for _ in range(50)]) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert player.readout["step"] == player.game.env.clock == 100


def test_the_page_cannot_set_a_speed_outside_2_to_60():
    player = Player(envs.make("squared"), fps=500)
    assert player.fps == 60
    player.fps = 0
    assert player.fps == 2


# ---------------------------------------------------------------------- bad input

@pytest.mark.parametrize("make, sentence", [
    (lambda: Player("squarde"), "did you mean 'squared'"),
    (lambda: Player(object()), "object has no num_agents"),
    (lambda: Player("squared", 3), "policy: given int, expected an object with act"),
    (lambda: Player("squared", agent=1), "agent=1 given, expected a row from 0 to 0"),
    (lambda: Player("squared", controller="policy"), "there is no policy to take over"),
    (lambda: Player("squared", controller="robot"), "controller='robot' given, expected one of human, policy, random"),
    (lambda: Player("squared").press("F7"), "key 'F7' given, expected one of 'ArrowUp'"),
])
def test_bad_arguments_are_one_sentence(make, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        make()


def test_a_driver_that_is_not_there_is_refused_and_the_old_one_goes_on():
    player = Player("squared")
    with pytest.raises(ValueError, match="there is no policy to take over"):
        player.controller = "policy"
    assert player.controller == player.game.controller == "human"


def test_a_picture_of_the_wrong_kind_is_named():
    class Grey(Pair):
        def render(self, index=0):
            return np.zeros((4, 4))
    with pytest.raises(TypeError, match=r"render\(\) gave float64 \(4, 4\), expected an array uint8 \(height, width, 3\)"):
        Game(Grey()).frame()


# ---------------------------------------------------------------------- the saved notebook

def test_the_output_holds_a_film_strip_for_readers_without_a_kernel():
    player = Player(envs.make("squared"), lambda observations: np.full(1, 4, np.int32), fps=2)
    data, metadata = player._repr_mimebundle_()
    picture = opened(base64.b64decode(data["image/png"]))
    assert 870 <= picture.shape[1] <= 890 and "played by the policy" in metadata["image/png"]["alt"]
    assert data["text/plain"] == "Player(Squared, agent 0 of 1)"
    assert "application/vnd.jupyter.widget-view+json" in data
    figure = player.film()
    assert [place.texts[0].get_text() for place in figure.axes] == [f"step {2 * moment}, return {-(moment == 3):g}" for moment in range(5)]
    assert (figure.axes[0].images[0].get_array() == player.game.env.render()).all()


def test_the_film_leaves_the_game_at_its_beginning():
    filmed, other = (Player("snake", seed=3, fps=3, show_observation=True, controller="random") for _ in range(2))
    assert len(filmed.film().axes) == 10                                # boards, and below them what the snake sees
    assert filmed.step(20) == other.step(20) and (filmed.frame == other.frame).all()
    assert len(filmed.film().axes) == 2 and filmed.game.steps == 20     # a game that goes on cannot be put back: one picture


def test_players_execute_in_a_notebook_without_a_front_end():
    cells = ["from puffer_min.course import Player\nfirst = Player('squared')\nfirst",
             "Player('squared', lambda o: o[:, 0].astype('int32') * 0, fps=60)",
             "first.press('ArrowUp')\nfirst.playing = True\nfirst.step()['action']"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    first, second, third = (cell.outputs for cell in notebook.cells)
    for outputs in (first, second):
        assert len(outputs) == 1 and outputs[0].output_type == "execute_result"
        assert opened(base64.b64decode(outputs[0].data["image/png"])).shape[2] == 3
    assert third[0].data["text/plain"] == "'up'"
