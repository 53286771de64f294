"""The mistakes that the streams made, each put into a copy of the sources and compiled: a named test has to fail.

A test that never fails proves nothing. Here every guard of the contract and of the games is shown to bite: the list is that of the
streams and of their public code, and what is like it. Each is compiled and tested in a copy (`mutants.py`).
"""

import functools
import sys
from dataclasses import dataclass
from pathlib import Path

import mutants
import pytest
from mutants import ROOT

FAILED, CRASHED = 1, (-6, -7, -8, -9, -11)      # pytest's status; abort, bus error, arithmetic, killed as it hung, segmentation fault


@dataclass(frozen=True)
class Mistake:
    """In `source` the text `old` becomes `new`, and `test` fails."""

    what: str
    source: str
    old: str
    new: str
    test: str


BASE, ACTIONS = "envs/core/native.pyx", "envs/core/actions.pyx"
SQUARED, SNAKE, CARTPOLE = "envs/squared.pyx", "envs/snake.pyx", "envs/cartpole.pyx"
PONG, BREAKOUT, CONNECT4, TRIPLE_TRIAD, DRIVE = (f"envs/{name}.pyx" for name in ("pong", "breakout", "connect4", "triple_triad", "drive"))
BANDIT, MEMORY, PASSWORD, STOCHASTIC = (f"envs/{name}.pyx" for name in ("bandit", "memory", "password", "stochastic"))
GRID, GRID_LEVEL, GRID_TWIN = "envs/grid.pyx", "envs/grid.pxd", "tests/test_grid.py::test_the_native_environment_and_its_slow_twin_take_the_same_trajectory"
SANITY = "tests/test_sanity_tasks.py::test_"
MOBA, MOBA_RULES = "envs/moba.pyx", "tests/test_moba.py::test_"
MMO, MMO_WORLD, MMO_LAND, MMO_RULES, MMO_SIGHT = (f"envs/mmo{part}" for part in (".pyx", "_world.pxd", "_land.pxd", "_rules.pxd", "_sight.pxd"))
MMO_TEST, MMO_SIGHT_TEST, MMO_WORLD_TEST = (f"tests/test_mmo{part}.py::test_" for part in ("", "_sight", "_world"))
CONTRACT = "tests/test_native_base.py::test_"

MISTAKES = [
    Mistake("terminal flag cleared by the self-reset", SQUARED,
            "        self.metrics[i] = reward > 0\n        self.start(i)\n", "        self.metrics[i] = reward > 0\n        self.start(i)\n        self.rows.terminals[i] = 0\n",
            CONTRACT + "the_end_of_an_episode_is_visible_on_its_step_and_only_there[squared]"),
    Mistake("flags cleared by the base after the log has seen them", BASE,
            "        self.account()\n", "        self.account()\n        self.clear_flags()\n",
            CONTRACT + "the_end_of_an_episode_is_visible_on_its_step_and_only_there[snake]"),
    Mistake("flags never cleared", BASE,
            "        memset(self.rows.terminals, 0, self.num_agents)\n", "",
            CONTRACT + "the_terminal_and_its_reward_come_with_the_first_observation_of_the_next_episode"),
    Mistake("first observation after reset left empty", SNAKE,
            "                self.spawn(env, i)\n            self.observe(env)\n", "                self.spawn(env, i)\n",
            CONTRACT + "the_first_observation_after_reset_is_filled[snake]"),
    Mistake("first observation of the next episode left out", SQUARED,
            "        self.metrics[i] = reward > 0\n        self.start(i)\n",
            "        self.metrics[i] = reward > 0\n        self.start(i)\n        memset(<uint8_t*> self.rows.observations + i * self.size * self.size, 0, self.size * self.size)\n",
            CONTRACT + "the_terminal_and_its_reward_come_with_the_first_observation_of_the_next_episode"),
    Mistake("a space that does not hold what is written", SNAKE,
            "Box(LAST, FOOD,", "Box(-2, 2,",
            CONTRACT + "observations_stay_inside_the_declared_space[snake]"),
    Mistake("a target that never comes up on the first cell", SQUARED,
            "cdef int target = draw_below(&self.streams[i], cells - 1)", "cdef int target = draw_below(&self.streams[i], cells - 2) + 1",
            "tests/test_squared.py::test_the_target_comes_up_on_every_other_cell_equally_often"),
    Mistake("target index one past the end", SQUARED,
            "cdef int target = draw_below(&self.streams[i], cells - 1)", "cdef int target = draw_below(&self.streams[i], cells)",
            "tests/test_squared.py::test_the_target_comes_up_on_every_other_cell_equally_often"),
    Mistake("allocation of sizeof(pointer)", SNAKE,
            "self.num_agents * sizeof(Snake)", "self.num_agents * sizeof(Snake*)",
            CONTRACT + "a_saved_state_resumes_exactly[snake]"),
    Mistake("actions read in a wrong dtype, which batches of one hide", SQUARED,
            "cdef int32_t* actions = <int32_t*> self.rows.actions", "cdef uint8_t* actions = <uint8_t*> self.rows.actions",
            "tests/test_squared.py::test_the_native_environment_and_its_slow_twin_take_the_same_trajectory[11-0]"),
    Mistake("actions of a wrong dtype let in", ACTIONS,
            " and cnp.PyArray_TYPE(given) == self.type_number\n", "\n",
            CONTRACT + "wrong_actions_are_one_sentence_and_nothing_is_stepped[squared]"),
    Mistake("actions out of range let in", ACTIONS,
            "        return bad == 0\n", "        return True\n",
            CONTRACT + "wrong_actions_are_one_sentence_and_nothing_is_stepped[cartpole]"),
    Mistake("swapped row and column in the observation", SQUARED,
            "here = square.row * size + square.column", "here = square.column * size + square.row",
            "tests/test_squared.py::test_the_native_environment_and_its_slow_twin_take_the_same_trajectory[5-2]"),
    Mistake("stalling pays better than playing, squared", SQUARED,
            "elif self.lengths[i] + 1 >= self.limit:", "elif False:",
            "tests/test_squared.py::test_standing_still_ends_after_three_times_the_size_and_costs_one"),
    Mistake("stalling pays better than playing, snake", SNAKE,
            "steps - snake.fed >= self.starvation", "False",
            "tests/test_snake.py::test_circling_in_safety_never_pays"),
    Mistake("eaten food that comes back on a body", SNAKE,
            "            if self.cells[cell] == EMPTY:\n                return cell\n", "            return cell\n",
            "tests/test_snake.py::test_the_number_of_foods_never_changes"),
    Mistake("half a corpse too many", SNAKE,
            "behind % 2 == 1", "behind % 2 == 0",
            "tests/test_snake.py::test_every_second_cell_of_the_dead_becomes_a_corpse[3]"),
    Mistake("logs dropped silently when a buffer is full", BASE,
            "        log.episodes += 1\n", "        if log.episodes >= 8:\n            return\n        log.episodes += 1\n",
            CONTRACT + "reports_at_any_interval_hold_every_episode_once[7-snake]"),
    Mistake("log counted twice", BASE,
            "for j in range(n - n % 8, n):", "for j in range(n):",
            CONTRACT + "the_log_is_the_mean_over_the_episodes_that_ended[snake]"),
    Mistake("several agents' logs in one", BASE,
            "        log.episode_return += self.returns[agent]\n", "        log.episode_return += self.returns[agent - agent % self.agents_per_env]\n",
            CONTRACT + "the_log_is_the_mean_over_the_episodes_that_ended[snake]"),
    Mistake("returns that run on into the next episode", BASE,
            "        self.returns[agent] = 0\n", "",
            CONTRACT + "the_log_is_the_mean_over_the_episodes_that_ended[squared]"),
    Mistake("the same random stream in every part of a batch", BASE,
            "<uint64_t> self.first_env + <uint64_t> i", "<uint64_t> i",
            CONTRACT + "a_batch_may_be_split_without_changing_a_trajectory[squared]"),
    Mistake("one random stream for all environments", BASE,
            "<uint64_t> self.first_env + <uint64_t> i", "<uint64_t> 0",
            CONTRACT + "other_seeds_and_other_environments_of_a_batch_go_other_ways[squared]"),
    Mistake("the lock held while stepping", BASE,
            "        with nogil:\n            self.advance()\n", "        self.advance()\n",
            CONTRACT + "other_python_threads_run_while_a_batch_is_stepped"),
    Mistake("a stale environment let in", BASE,
            "        require_fresh(type(self).__module__)\n", "",
            CONTRACT + "an_extension_older_than_its_source_is_refused_with_the_command_that_mends_it[envs.squared]"),
    Mistake("a stale base let in", BASE,
            "        require_fresh(\"envs.core.native\")\n", "",
            CONTRACT + "an_extension_older_than_its_source_is_refused_with_the_command_that_mends_it[envs.core.native]"),

    # ---------------------------------------------------------------- cartpole
    Mistake("truncation taken for termination", CARTPOLE,
            "            terminals[i] = fabs(self.x[i]) > POSITION_LIMIT", "            terminals[i] = self.lengths[i] + 1 >= self.max_episode_steps or fabs(self.x[i]) > POSITION_LIMIT",
            "tests/test_cartpole.py::test_truncation_keeps_the_last_observation_beside_the_first_of_the_next_episode"),
    Mistake("last observation lost at a truncation", CARTPOLE,
            "4 * sizeof(float))\n                self.start(i)\n", "0)\n                self.start(i)\n",
            "tests/test_cartpole.py::test_truncation_keeps_the_last_observation_beside_the_first_of_the_next_episode"),
    Mistake("a continuous mode that clips every step to the discrete push", CARTPOLE,
            "force[i] = FORCE * min(max(real[i], -1.0), 1.0)", "force[i] = FORCE if real[i] > 0 else -FORCE",
            "tests/test_cartpole.py::test_a_part_of_the_force_is_that_part_of_ten_newtons"),

    # ---------------------------------------------------------------- pong
    Mistake("terminal flag cleared by the self-reset, pong", PONG,
            "        self.metrics[i] = game.points - game.rival_points\n        self.start(i)\n",
            "        self.metrics[i] = game.points - game.rival_points\n        self.start(i)\n        self.rows.terminals[i] = 0\n",
            CONTRACT + "the_end_of_an_episode_is_visible_on_its_step_and_only_there[pong]"),
    Mistake("unscaled observation, pong", PONG,
            "observation[2] = game.x * (1.0 / WIDTH)", "observation[2] = game.x",
            CONTRACT + "observations_stay_inside_the_declared_space[pong]"),
    Mistake("score entries divided as whole numbers", PONG,
            "<float> game.points / self.points_to_win", "game.points / self.points_to_win",
            "tests/test_pong.py::test_score_entries_are_fractions_and_not_always_zero"),
    Mistake("rand() % 2 - 1 as a sign", PONG,
            "cdef float side = 1 if draw(&self.streams[i]) >> 63 else -1", "cdef float side = <float> (draw(&self.streams[i]) >> 63) - 1",
            "tests/test_pong.py::test_serves_go_both_ways_about_equally_often"),
    Mistake("first observation after reset left out, pong", PONG,
            "            self.start(i)\n            self.observe(i)\n", "            self.start(i)\n",
            CONTRACT + "the_first_observation_is_written_whole_whatever_was_there[pong]"),

    # ---------------------------------------------------------------- breakout
    Mistake("terminal flag cleared by the self-reset, breakout", BREAKOUT,
            "        self.metrics[i] = game.points\n        self.start(i)\n", "        self.metrics[i] = game.points\n        self.start(i)\n        self.rows.terminals[i] = 0\n",
            CONTRACT + "the_end_of_an_episode_is_visible_on_its_step_and_only_there[breakout]"),
    Mistake("first observation after reset half empty", BREAKOUT,
            "            self.start(i)\n            self.observe(i)\n", "            self.start(i)\n",
            CONTRACT + "the_first_observation_is_written_whole_whatever_was_there[breakout]"),
    Mistake("raw pixels as observation", BREAKOUT,
            "observation[1] = game.x * (1.0 / WIDTH)", "observation[1] = game.x",
            CONTRACT + "observations_stay_inside_the_declared_space[breakout]"),
    Mistake("paddle's width divided in integers", BREAKOUT,
            "observation[7] = game.width * (1 / PADDLE_WIDTH)", "observation[7] = <int> game.width // <int> PADDLE_WIDTH",
            "tests/test_breakout.py::test_the_paddle_shrinks_at_the_top_wall_and_the_ball_only_gets_faster"),
    Mistake("stalling pays better than playing, breakout", BREAKOUT,
            " or game.idle >= AUTO_FIRE", "",
            "tests/test_breakout.py::test_an_idle_player_does_not_play_for_ever"),
    Mistake("a ball that flies for ever", BREAKOUT,
            "if game.y > HEIGHT or game.idle >= self.patience:", "if game.y > HEIGHT:",
            "tests/test_breakout.py::test_a_ball_that_breaks_nothing_is_taken_away"),
    Mistake("brick index swapped in row and column", BREAKOUT,
            "brick = row * COLUMNS + column", "brick = column * ROWS + row",
            "tests/test_breakout.py::test_score_is_the_value_of_the_bricks_and_return_their_number"),

    # ---------------------------------------------------------------- connect4
    Mistake("a bot that never plays column 0", CONNECT4,
            "    return chosen if chosen else moves\n", "    moves &= ~<uint64_t> 0x3F\n    return moves & chosen if moves & chosen else moves if moves else chosen\n",
            "tests/test_connect4.py::test_four_stones_in_column_0_do_not_beat_every_opponent"),
    Mistake("a full column that wins", CONNECT4,
            "return self.finish(i, -1 if first else 1)", "return self.finish(i, 1 if first else -1)",
            "tests/test_connect4.py::test_a_full_column_loses_and_never_wins"),
    Mistake("two agents' logs in one, connect4", CONNECT4,
            "self.metrics[agent + 1] = (1 - result) * 0.5", "self.metrics[agent] = (1 - result) * 0.5",
            "tests/test_connect4.py::test_two_players_rewards_are_opposite"),
    Mistake("the flag of one agent of two forgotten", CONNECT4,
            "            self.rows.terminals[agent + 1] = 1\n", "",
            "tests/test_connect4.py::test_two_players_rewards_are_opposite"),
    Mistake("an opponent blind to one diagonal", CONNECT4,
            " | threats(stones, 8)", "",
            "tests/test_connect4.py::test_search_never_loses_a_won_position_at_its_depth"),
    Mistake("the board upside down in the observation", CONNECT4,
            "(ROWS - 1 - cell % STRIDE) * COLUMNS", "cell % STRIDE * COLUMNS",
            "tests/test_connect4.py::test_two_players_take_turns_and_see_each_other"),
    Mistake("one's own threats taken for the other's, of two agents the second", CONNECT4,
            "shown + for_them + 2 * for_me", "shown + for_me + 2 * for_them",
            "tests/test_connect4.py::test_threats_are_the_empty_cells_that_complete_four_on_a_plain_board[self-play]"),
    Mistake("a threat that hangs in the air shown as one that can be played", CONNECT4,
            "AT_ONCE * <int> (next_cells >> cell & 1)", "AT_ONCE * <int> (next_cells != 0)",
            "tests/test_connect4.py::test_threats_are_the_empty_cells_that_complete_four_on_a_plain_board[search]"),

    # ---------------------------------------------------------------- triple_triad
    Mistake("-1 for no neighbour used as an index", TRIPLE_TRIAD,
            "if (other >= 0 and table.owner[other] == 1 - side\n", "if (table.owner[other] == 1 - side\n",
            "tests/test_triple_triad.py::test_every_placement_agrees_with_a_plain_table[greedy]"),
    Mistake("stalling pays better than playing, triple_triad", TRIPLE_TRIAD,
            "if table.steps[side] >= self.patience:", "if False:",
            "tests/test_triple_triad.py::test_stalling_is_worse_than_playing_at_random_and_losing_to_greedy"),
    Mistake("a wasted step that costs nothing", TRIPLE_TRIAD,
            "cdef float WASTED = -0.02", "cdef float WASTED = 0",
            "tests/test_triple_triad.py::test_the_observation_says_which_actions_do_something"),
    Mistake("several agents' logs in one, triple_triad", TRIPLE_TRIAD,
            "self.metrics[2 * agent] = table.first_score if side == 0 else", "self.metrics[2 * agent] = table.first_score if True else",
            "tests/test_triple_triad.py::test_two_players_see_the_same_table_from_both_sides"),
    Mistake("facing number looked up on the wrong side", TRIPLE_TRIAD,
            "                    and numbers[direction] > table.board[4 * other + (direction ^ 2)]):\n                table",
            "                    and numbers[direction] > table.board[4 * other + direction]):\n                table",
            "tests/test_triple_triad.py::test_every_placement_agrees_with_a_plain_table[random]"),
    Mistake("an answer that does not see the card just placed", TRIPLE_TRIAD,
            "facing[SPACE * (direction ^ 2) + other] = numbers[direction]", "facing[SPACE * (direction ^ 2) + other] = NOTHING",
            "tests/test_triple_triad.py::test_foresight_is_what_trying_out_every_card_and_every_answer_on_a_plain_table_gives[greedy]"),

    # ---------------------------------------------------------------- drive
    Mistake("allocation of sizeof(pointer), drive", DRIVE,
            "num_envs * sizeof(World)", "num_envs * sizeof(World*)",
            CONTRACT + "a_saved_state_resumes_exactly[drive]"),
    Mistake("truncation cleared by the self-reset", DRIVE,
            "                    self.observe(i, slot, <float*> self.rows.final_observations)\n            self.start(i)\n",
            "                    self.observe(i, slot, <float*> self.rows.final_observations)\n            self.start(i)\n            memset(self.rows.truncations, 0, self.num_agents)\n",
            "tests/test_drive.py::test_a_world_ends_by_time_with_the_last_observation_kept"),
    Mistake("unscaled observation, drive", DRIVE,
            "observation[0] = car.speed * (1 / TOP_SPEED)", "observation[0] = car.speed",
            CONTRACT + "observations_stay_inside_the_declared_space[drive]"),
    Mistake("swapped x and y of the road points", DRIVE,
            "observation[ROAD_POINT * n] = clamp(ahead_of(", "observation[ROAD_POINT * n] = clamp(left_of(",
            "tests/test_drive.py::test_road_points_are_where_they_are_seen"),
    Mistake("swapped x and y of the partners", DRIVE,
            "observation[0] = ahead_of(car, partner.x, partner.y)", "observation[0] = ahead_of(car, partner.y, partner.x)",
            "tests/test_drive.py::test_partners_are_the_nearest_and_nearest_first"),
    Mistake("the first partners found, not the nearest", DRIVE,
            "        sort_keys(nearest, count)\n        count = min", "        count = min",
            "tests/test_drive.py::test_partners_are_the_nearest_and_nearest_first"),
    Mistake("goal index one past the end of the road", DRIVE,
            "if ahead < 0 or ahead >= world.num_points:", "if ahead < 0 or ahead >= world.num_points + 4:",
            "tests/test_drive.py::test_goals_lie_along_the_lane_20_to_70_metres_ahead"),
    Mistake("an empty slot seen as a car", DRIVE,
            "count += ((other != slot) & (world.cars[other].kind != ABSENT)\n", "count += ((other != slot)\n",
            "tests/test_drive.py::test_partners_are_the_nearest_and_nearest_first"),
    Mistake("the mask of an empty slot up", DRIVE,
            "        self.rows.masks[agent] = 0\n", "",
            "tests/test_drive.py::test_masks_mark_the_driving_agents_and_other_rows_are_empty"),
    Mistake("cars that touch at the start", DRIVE,
            "            if not clear:\n                continue\n", "",
            "tests/test_drive.py::test_no_episode_ends_on_its_first_step"),
    Mistake("waiting pays better than driving", DRIVE,
            "<float> 0.01 * (before - to_goal(car))", "<float> 0.01",
            "tests/test_drive.py::test_waiting_earns_nothing_and_driving_does"),
    Mistake("a continuous mode that is read from whole numbers", DRIVE,
            "        if self.continuous:\n", "        if not self.continuous:\n",
            "tests/test_drive.py::test_continuous_and_discrete_actions_agree"),
    Mistake("several worlds' logs in one", DRIVE,
            "self.metrics[3 * agent + metric] = 1", "self.metrics[3 * slot + metric] = 1",
            "tests/test_drive.py::test_the_log_counts_goals_collisions_and_departures_of_every_world"),

    # ---------------------------------------------------------------- grid
    Mistake("swapped row and column in one of two copies of a level", GRID_LEVEL,
            "cells[place(geometry, x, y)] = cells[geometry.plane + place(geometry, y, x)] = cell",
            "cells[place(geometry, x, y)] = cells[geometry.plane + place(geometry, x, y)] = cell",
            GRID_TWIN + "[door_key-8]"),
    Mistake("the same level in every episode", GRID,
            "stream_of(<uint64_t> seed, 0)", "stream_of(0, 0)",
            GRID_TWIN + "[maze-13]"),
    Mistake("the end of time taken for a failure", GRID,
            "self.rows.terminals[i] = outcome >= WON", "self.rows.terminals[i] = 1",
            GRID_TWIN + "[four_rooms-9]"),
    Mistake("last observation lost at the end of an episode", GRID,
            "        self.observe(i, i + 1, self.rows.final_observations)\n", "",
            GRID_TWIN + "[empty-8]"),
    Mistake("goal out of reach", GRID_LEVEL,
            "last += last >= first", "last -= 1",
            "tests/test_grid_levels.py::test_a_maze_is_a_spanning_tree_of_its_rooms[5]"),

    # ---------------------------------------------------------------- the sanity tasks
    Mistake("a share divided in integers", BANDIT,
            "<float> (actions[i] == self.best) / self.length", "(actions[i] == self.best) / self.length",
            SANITY + "bandit_is_solved_by_its_best_arm_alone"),
    Mistake("the symbol asked for one place too far", MEMORY,
            "actions[i] == self.shown[i * self.length + asked]", "actions[i] == self.shown[i * self.length + asked + 1]",
            SANITY + "memory_is_solved_by_repeating_what_was_shown[settings2]"),
    Mistake("the symbol still shown when it is asked for", MEMORY,
            "            row[self.symbols] = 1\n",
            "            row[self.symbols] = row[self.shown[i * self.length + time - self.length - self.delay]] = 1\n",
            SANITY + "memory_cannot_be_guessed"),
    Mistake("a symbol that never comes up", MEMORY,
            "draw_below(&self.streams[i], self.symbols)", "draw_below(&self.streams[i], self.symbols - 1)",
            SANITY + "memory_shows_every_symbol_equally_often"),
    Mistake("digits typed right carried into the next episode", PASSWORD,
            "        self.right[i] = 0\n", "",
            SANITY + "password_pays_the_whole_password_only[10110]"),
    Mistake("the one of 'not yet typed' left standing", PASSWORD,
            "                typed[0] = 0\n", "",
            SANITY + "password_observation_is_what_was_typed"),
    Mistake("a count where the share belongs", STOCHASTIC,
            "                metric[1] /= self.length\n", "",
            SANITY + "stochastic_is_solved_by_the_right_mixture_and_by_no_single_action"),
    # ---------------------------------------------------------------- moba
    Mistake("moba: terminal flag cleared by the self-reset", MOBA,
            "            metrics[4], metrics[5] = game.entities", "            self.rows.terminals[agent] = 0\n            metrics[4], metrics[5] = game.entities",
            MOBA_RULES + "the_game_is_won_when_an_ancient_falls"),
    Mistake("moba: first observation after reset left empty", MOBA,
            "            self.start(i)\n            self.observe(i, <uint8_t*> self.rows.observations)\n", "            self.start(i)\n",
            CONTRACT + "the_first_observation_after_reset_is_filled[moba]"),
    Mistake("moba: last observation lost at the end of time", MOBA,
            "            self.observe(i, <uint8_t*> self.rows.final_observations)\n", "            pass\n",
            MOBA_RULES + "the_end_of_time_is_a_truncation_with_the_last_observation_kept"),
    Mistake("moba: allocation of sizeof(pointer)", MOBA,
            "num_envs * sizeof(Game)", "num_envs * sizeof(Game*)",
            CONTRACT + "a_saved_state_resumes_exactly[moba]"),
    Mistake("moba: several agents' logs in one", MOBA,
            "self.metrics + METRICS * agent", "self.metrics + METRICS * i",
            MOBA_RULES + "the_game_is_won_when_an_ancient_falls"),
    Mistake("moba: walking to and fro pays", MOBA,
            "self.reward_distance * (hero.known_distance - distance)", "self.reward_distance * max(0, hero.known_distance - distance)",
            MOBA_RULES + "standing_still_earns_nothing_and_walking_to_and_fro_neither"),
    Mistake("moba: a fallen tower rewarded at every step", MOBA,
            "        game.known_fallen = game.fallen\n", "",
            MOBA_RULES + "each_reward_has_its_weight_and_no_other[reward_tower-2.0]"),
    Mistake("moba: rows and columns exchanged in the continuous mode", MOBA,
            "<int32_t> (speed * clamp(real[0])), <int32_t> (speed * clamp(real[1]))", "<int32_t> (speed * clamp(real[1])), <int32_t> (speed * clamp(real[0]))",
            MOBA_RULES + "continuous_actions_mean_what_discrete_ones_mean"),
    Mistake("moba: the same half always moves first", MOBA,
            "cdef int half = (game.first + game.tick) & 1, n", "cdef int half = 0, n",
            "tests/test_moba_symmetry.py::test_the_mirrored_game_takes_the_mirrored_course[settings0]"),
    Mistake("moba: all creeps look around on the same tick", MOBA,
            "&own[CREEP_AT + slot], looking >> slot & 1)", "&own[CREEP_AT + slot], (game.tick & 3) == 0)",
            "tests/test_moba_minds.py::test_every_tick_has_its_share_of_those_who_look_around"),
    Mistake("moba: a dead target kept", "envs/moba_minds.pxd",
            "if target.alive and target.exposed and within(", "if target.exposed and within(",
            "tests/test_moba_minds.py::test_a_dead_target_is_forgotten_on_the_next_tick"),
    Mistake("moba: swapped row and column in the records", "envs/moba_sight.pxd",
            "sign * (other.y - entity.y) + REACH", "sign * (other.x - entity.x) + REACH",
            MOBA_RULES + "rows_and_columns_are_not_exchanged_in_any_plane"),
    Mistake("moba: the first ten found, not the nearest", "envs/moba_sight.pxd",
            "while n > 0 and keys[n - 1] > key:", "while False:",
            MOBA_RULES + "observations_are_those_of_a_slow_recomputation[settings0]"),
    Mistake("moba: health divided in integers", "envs/moba_world.pxd",
            "entity.health * 255 // entity.max_health", "entity.health // entity.max_health * 255",
            MOBA_RULES + "observations_are_those_of_a_slow_recomputation[settings0]"),
    Mistake("moba: two entities on one cell", "envs/moba_world.pxd",
            "        if game.ids[after] != 0:\n            return False\n", "        if game.ids[after] == TREE_ID:\n            return False\n",
            MOBA_RULES + "ids_picture_bitboards_and_sets_are_those_of_the_entities[settings0]"),
    Mistake("moba: a healing that the picture does not show", "envs/moba_combat.pxd",
            "    entity.health = min(entity.health + health, entity.max_health)\n    show(game, entity)\n", "    entity.health = min(entity.health + health, entity.max_health)\n",
            MOBA_RULES + "ids_picture_bitboards_and_sets_are_those_of_the_entities[settings0]"),
    Mistake("moba: the wrong tower exposed", "envs/moba_combat.pxd",
            "towers[slot + 3].exposed = 1", "towers[slot + 1].exposed = 1",
            MOBA_RULES + "towers_fall_from_the_outermost_inwards_and_the_ancient_last"),
    Mistake("moba: abilities for nothing", "envs/moba_combat.pxd",
            "    hero.mana -= COST[kind][ability]\n", "",
            "tests/test_moba_abilities.py::test_an_ability_costs_its_mana_once_and_cools_down[ability0-0]"),
    Mistake("moba: abilities that hurt towers", "envs/moba_combat.pxd",
            "if victim.kind >= TOWER or (creeps_only", "if (creeps_only",
            "tests/test_moba_abilities.py::test_abilities_do_nothing_to_towers_and_ancients[2]"),
    # ---------------------------------------------------------------- mmo
    Mistake("mmo: terminal flag cleared by the self-reset", MMO,
            "            self.bear(world, n)\n        elif", "            self.bear(world, n)\n            self.rows.terminals[row] = 0\n        elif",
            MMO_TEST + "each_death_has_its_cause_and_a_new_life_begins_at_once[age-change2]"),
    Mistake("mmo: first observation after reset left empty", MMO,
            "                self.bear(&world, n)\n            self.observe(&world, i)\n", "                self.bear(&world, n)\n",
            CONTRACT + "the_first_observation_after_reset_is_filled[mmo]"),
    Mistake("mmo: allocation of sizeof(pointer)", MMO,
            "self.population * sizeof(Agent)", "self.population * sizeof(Agent*)",
            CONTRACT + "a_saved_state_resumes_exactly[mmo]"),
    Mistake("mmo: several agents' logs in one", MMO,
            "self.metrics + METRICS * (i * self.agents + n)", "self.metrics + METRICS * i",
            MMO_TEST + "each_death_has_its_cause_and_a_new_life_begins_at_once[thirst-change0]"),
    Mistake("mmo: the same inhabitant always acts first", MMO,
            "world.head.tick * 7 % self.population", "0",
            MMO_TEST + "the_order_of_acting_turns"),
    Mistake("mmo: lives given twice", MMO,
            "            head.read = head.ended\n", "",
            MMO_TEST + "a_life_is_recorded_with_all_that_was_done_in_it"),
    Mistake("mmo: a level is paid at every tick", MMO,
            "        agent.gained = 0\n", "",
            MMO_TEST + "staying_alive_and_levels_are_paid_and_in_survival_only_the_first"),
    Mistake("mmo: what does not fit into a pair of hands is lost", MMO_WORLD,
            "        pile.goods[good] -= <uint8_t> taken\n", "        pile.goods[good] = 0\n",
            MMO_TEST + "what_the_dead_carried_lies_there_until_somebody_takes_it"),
    Mistake("mmo: gold lost with a pile that rots", MMO_WORLD,
            "    world.head.treasury += pile.gold\n", "",
            MMO_WORLD_TEST + "goods_and_gold_are_neither_made_nor_lost_but_by_rule"),
    Mistake("mmo: a dead body left on the grid", MMO,
            "        leave(world, agent)\n", "",
            MMO_SIGHT_TEST + "the_grid_is_what_the_inhabitants_make_of_it[settings0]"),
    Mistake("mmo: land that is cut off", MMO_LAND,
            "            world.tiles[TILE * cell] = ROCK\n", "            pass\n",
            MMO_WORLD_TEST + "every_size_has_a_border_and_room[256]"),
    Mistake("mmo: everything grows everywhere", MMO_LAND,
            "elif fertile(world, cell // world.stride) or chance % BARREN == 0:", "else:",
            MMO_WORLD_TEST + "things_grow_back_in_the_fertile_half_and_an_eighth_as_fast_elsewhere[16-True]"),
    Mistake("mmo: seasons that cannot be switched off", MMO,
            "self.season_ticks if self.seasons else 0", "self.season_ticks",
            MMO_WORLD_TEST + "things_grow_back_in_the_fertile_half_and_an_eighth_as_fast_elsewhere[48-False]"),
    Mistake("mmo: swapped row and column in the records", MMO_SIGHT,
            "(other.y - agent.y + DOWN + 1)", "(other.x - agent.x + DOWN + 1)",
            MMO_SIGHT_TEST + "records_are_the_nearest_and_targets_follow_them"),
    Mistake("mmo: the first eight found, not the nearest", MMO_SIGHT,
            "while n > 0 and keys[n - 1] > key:", "while False:",
            MMO_SIGHT_TEST + "observations_are_those_of_a_slow_recomputation[settings0]"),
    Mistake("mmo: who stands on a cell, counted with the cell itself", MMO_SIGHT,
            "<< (cell & 63)) - 1)", "<< (cell & 63)) * 2 - 1)",
            MMO_SIGHT_TEST + "observations_are_those_of_a_slow_recomputation[settings0]"),
    Mistake("mmo: a gift that the giver keeps", MMO_RULES,
            "        agent.goods[what] -= 1\n", "",
            MMO_TEST + "a_gift_goes_to_the_neighbour_beside_and_a_coin_too"),
    Mistake("mmo: crafting for nothing", MMO_RULES,
            "        spend(world, agent, good, NEEDS[recipe][good])\n", "        pass\n",
            MMO_TEST + "crafting_takes_its_goods_its_level_and_teaches[4]"),
    Mistake("mmo: the market buys at the price it asks", MMO_RULES,
            "return price(world, good, world.head.stock[good] + 1)", "return price(world, good, world.head.stock[good]) + 1",
            MMO_TEST + "a_piece_is_sold_at_the_posted_price_in_a_town_only"),
    Mistake("mmo: the market pays what it does not have", MMO_RULES,
            "0 < bid(world, good) <= world.head.treasury)", "0 < bid(world, good))",
            MMO_TEST + "the_market_pays_no_more_than_it_has"),
    Mistake("mmo: melee, range and magic the other way round", MMO_RULES,
            "(rival - style + 3) % 3 == 1", "(rival - style + 3) % 3 == 2",
            MMO_TEST + "melee_beats_range_range_magic_and_magic_melee[0-1]"),
    Mistake("mmo: newborns are struck", MMO_RULES,
            "            and not newborn(world, other) and terrain_of", "            and terrain_of",
            MMO_TEST + "nobody_is_struck_in_towns_or_in_the_first_64_ticks[newborn other]"),
    Mistake("mmo: a mask that allows what the rules refuse", MMO_SIGHT,
            "mask[42 + n] = may_buy(world, agent, n)", "mask[42 + n] = agent.gold > 0",
            MMO_SIGHT_TEST + "a_part_of_an_action_does_something_if_and_only_if_it_is_legal"),
    Mistake("mmo: food that was gathered is still pointed at", MMO_WORLD,
            "    mark(world.meals, cell, item == HERBS or item == FISHES)\n", "    if item == HERBS or item == FISHES:\n        mark(world.meals, cell, True)\n",
            MMO_SIGHT_TEST + "the_grid_is_what_the_inhabitants_make_of_it[settings0]"),
    Mistake("mmo: nobody remembers where he drank", MMO_RULES,
            "        agent.shore = [agent.y, agent.x]\n", "",
            MMO_SIGHT_TEST + "the_nearest_water_and_food_are_seen_and_where_one_drank_is_remembered"),
]
by_what = pytest.mark.parametrize("mistake", MISTAKES, ids=[mistake.what for mistake in MISTAKES])
by_source = pytest.mark.parametrize("source", sorted({mistake.source for mistake in MISTAKES}))


@by_what
def test_the_mistake_can_be_made(mistake):
    """Its place is there exactly once, and so is its test."""
    assert (ROOT / mistake.source).read_text().count(mistake.old) == 1
    file, _, test = mistake.test.partition("::")
    assert f"def {test.partition('[')[0]}(" in (ROOT / file).read_text()


@pytest.mark.timeout(60)
def test_a_copy_that_hangs_is_ended_with_what_it_started(tmp_path):
    """A mistake that overruns its memory may end in a loop. A process that was left would hold the pipe, and this would wait for it."""
    for_ever = "while True: pass"
    run = mutants.run_in(tmp_path, [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{for_ever}'])"], limit=3)
    assert run.returncode == -9


def inputs(parameters):
    """What the trials of a mistake, or of a source without one, read: the source and its parts, the base, the tests."""
    mistakes = [parameters["mistake"]] if "mistake" in parameters else [m for m in MISTAKES if m.source == parameters["source"]]
    source = Path(mistakes[0].source)
    own = "envs/*.p*" if source.parent.name == "core" else f"envs/{source.stem.partition('_')[0]}*.p*"
    tests = {mistake.test.partition("::")[0] for mistake in mistakes}
    return [own, "setup.py", "envs/*.py", "envs/core/*", "envs/slow/*", *(part for test in tests for part in reads(test))]


@functools.cache
def reads(test):
    """The files that a test file reads, besides its environment."""
    text = (ROOT / test).read_text()
    helpers = [f"tests/{path.name}" for path in (ROOT / "tests").glob("*.py") if not path.name.startswith("test_")]
    every = ["envs/*.p*"] if "environments" in text else []     # a test of all environments
    return [test, *helpers, *every, *(["puffer_min/**/*"] if "puffer_min" in text else [])]


@pytest.mark.long
@pytest.mark.costly(inputs=inputs)
@by_what
def test_the_mistake_makes_its_test_fail(mistake, tmp_path):
    mutants.copy_with(tmp_path, mistake.source, mistake.old, mistake.new)
    run = mutants.run_tests(tmp_path, mistake.test)
    assert run.returncode == FAILED and "1 failed" in run.stdout or run.returncode in CRASHED, run.stdout[-3000:]


@pytest.mark.long
@pytest.mark.costly(inputs=inputs)
@by_source
def test_without_a_mistake_the_same_tests_pass(source, tmp_path):
    tests = sorted({mistake.test for mistake in MISTAKES if mistake.source == source})
    mutants.copy_with(tmp_path, source)
    run = mutants.run_tests(tmp_path, *tests)
    assert run.returncode == 0 and f"{len(tests)} passed" in run.stdout, run.stdout[-3000:]
