"""drive: nobody ends on the first step, what is seen is nearest first, and the ends are what the geometry says."""

import numpy as np
import pytest

import envs

COAST = np.array([4, 3], np.int32)
BODY, RADIUS = 1.2, 1.1


def ego_view(car, points):
    """Points (n, 2) in the car's frame: ahead and to the left, metres, by a plain rotation."""
    cosine, sine = np.cos(car[2]), np.sin(car[2])
    return (points - car[:2]) @ np.array([[cosine, -sine], [sine, cosine]])


def discs(car):
    along = BODY * np.array([np.cos(car[2]), np.sin(car[2])])
    return np.array([car[:2] - along, car[:2] + along])


def random_actions(rng, env):
    return np.stack([rng.integers(0, 9, env.num_agents), rng.integers(0, 7, env.num_agents)], 1).astype(np.int32)


def test_no_episode_ends_on_its_first_step():
    for seed in range(20):
        env = envs.make("drive", 64, seed=seed)
        env.reset()
        rng = np.random.default_rng(seed)
        _, _, terminals, truncations, _ = env.step(random_actions(rng, env))
        assert not terminals.any() and not truncations.any()


def test_road_points_are_the_nearest_and_nearest_first():
    env = envs.make("drive", 8, seed=1)
    observations, _ = env.reset()
    for _ in range(10):
        env.step(np.tile(COAST, (env.num_agents, 1)))
    for world in range(8):
        roads, cars = env.roads(world), env.cars(world)
        for slot in np.flatnonzero(cars[:, 6] == 2):
            seen = observations[world * 32 + slot, 111:].reshape(64, 5)
            view = ego_view(cars[slot], roads[:, :2])
            distance = np.hypot(*view.T)
            order = np.argsort(distance)[:64]
            expected = np.clip(view[order] / 50, -1, 1)
            assert np.allclose(np.sort(np.hypot(*seen[:, :2].T)), np.sort(np.hypot(*expected.T)), atol=1e-4)
            unclipped = (np.abs(seen[:, :2]) < 0.999).all(1)
            assert (np.diff(np.hypot(*seen[unclipped, :2].T)) > -1e-3).all()


def test_road_points_are_where_they_are_seen():
    """Each point that is seen, turned back into the world, is a point of a road with that direction and width."""
    env = envs.make("drive", 2, seed=1)
    observations, _ = env.reset()
    for world in range(2):
        roads, cars = env.roads(world), env.cars(world)
        for slot in np.flatnonzero(cars[:, 6] == 2):
            seen = observations[world * 32 + slot, 111:].reshape(64, 5)
            seen = seen[(np.abs(seen[:, :2]) < 0.999).all(1)]
            cosine, sine = np.cos(cars[slot, 2]), np.sin(cars[slot, 2])
            turn = np.array([[cosine, sine], [-sine, cosine]])
            points = np.concatenate([cars[slot, :2] + seen[:, :2] * 50 @ turn, seen[:, 2:4] @ turn, seen[:, 4:] * 10], 1)
            assert np.abs(points[:, None] - roads[None]).max(2).min(1).max() < 1e-2


def test_goals_lie_along_the_lane_20_to_70_metres_ahead():
    env = envs.make("drive", 256, seed=8)
    env.reset()
    cars = np.concatenate([env.cars(world) for world in range(256)])
    cars = cars[cars[:, 6] == 2]
    ahead = ego_view(cars[0], cars[:1, 4:6])[0, 0]
    distance = np.hypot(*(cars[:, 4:6] - cars[:, :2]).T)
    assert ahead > 0 and len(cars) > 3000
    assert 15 < distance.min() and distance.max() < 75, (distance.min(), distance.max())


def test_partners_are_the_nearest_and_nearest_first():
    env = envs.make("drive", 8, seed=2)
    observations, _ = env.reset()
    for world in range(8):
        cars = env.cars(world)
        for slot in np.flatnonzero(cars[:, 6] == 2):
            seen = observations[world * 32 + slot, 6:111].reshape(15, 7)
            others = np.array([n for n in range(32) if n != slot and cars[n, 6] > 0])
            view = ego_view(cars[slot], cars[others, :2])
            distance = np.hypot(*view.T)
            order = [n for n in np.argsort(distance) if distance[n] <= 50][:15]
            assert seen[:, 6].sum() == len(order)
            assert np.allclose(seen[:len(order), :2] * 50, view[order], atol=1e-3)
            assert np.array_equal(seen[:len(order), 5], cars[others[order], 6] == 1)
            assert (seen[len(order):] == 0).all()


def test_masks_mark_the_driving_agents_and_other_rows_are_empty():
    env = envs.make("drive", 16, seed=3)
    observations, _ = env.reset()
    rng = np.random.default_rng(0)
    for _ in range(120):
        kinds = np.concatenate([env.cars(world)[:, 6] for world in range(16)])
        assert np.array_equal(env.masks, kinds == 2)
        assert not observations[~env.masks].any() and observations[env.masks].any(1).all()
        env.step(random_actions(rng, env))
    assert 0.05 < env.masks.mean() < 0.95, "slots are ragged"


def test_ends_are_what_the_geometry_says():
    """Replay each step in NumPy: bicycle model, then goal, collision and road, from the cars before the step."""
    env = envs.make("drive", 4, seed=4, report_interval=0)
    env.reset()
    rng, seen = np.random.default_rng(1), {"goal": 0, "hit": 0, "off": 0}
    for step in range(240):
        before, roads = [env.cars(w).astype(float) for w in range(4)], [env.roads(w) for w in range(4)]
        actions = random_actions(rng, env) if step % 2 else np.tile(COAST, (env.num_agents, 1))
        _, rewards, terminals, truncations, _ = env.step(actions)
        for world in range(4):
            cars, rows = before[world], slice(world * 32, world * 32 + 32)
            driving = cars[:, 6] == 2
            speed = np.clip(cars[:, 3] + (actions[rows, 1] - 3) / 3 * 4 * 0.1, 0, 20)
            heading = cars[:, 2] + speed * np.tan((actions[rows, 0] - 4) / 4 * 0.5) / 2.8 * 0.1
            cars[driving, 3], cars[driving, 2] = speed[driving], heading[driving]
            cars[driving, 0] += speed[driving] * np.cos(heading[driving]) * 0.1
            cars[driving, 1] += speed[driving] * np.sin(heading[driving]) * 0.1
            for slot in np.flatnonzero(driving):
                present = [n for n in range(32) if n != slot and cars[n, 6] > 0]
                gap = min((np.hypot(*(a - b)) for n in present for a in discs(cars[slot]) for b in discs(cars[n])), default=99) - 2 * RADIUS
                goal = np.hypot(*(cars[slot, 4:6] - cars[slot, :2])) - 2.5
                edge = (np.hypot(*(roads[world][:, :2] - cars[slot, :2]).T) ** 2 - roads[world][:, 4] ** 2 - 1).min()
                if min(abs(gap), abs(goal), abs(edge)) < 1e-2:
                    continue                            # too close for float32 against float64
                agent = world * 32 + slot
                assert terminals[agent] == (gap < 0 or goal < 0 or edge > 0)
                seen["hit"] += gap < 0
                seen["goal"] += goal < 0 < gap
                seen["off"] += edge > 0
                if terminals[agent]:
                    assert np.sign(rewards[agent]) == (1 if goal < 0 < gap else -1)
    assert min(seen.values()) > 1, seen


def test_a_world_ends_by_time_with_the_last_observation_kept():
    env = envs.make("drive", 2, seed=5, parked=0, absent=0)
    env.reset()
    for _ in range(90):
        assert not env.truncations.any()
        driving = env.masks.copy()
        env.step(np.tile(np.array([4, 0], np.int32), (env.num_agents, 1)))          # brake and wait
    assert np.array_equal(env.truncations, driving & ~env.terminals) and env.truncations.any()
    assert np.allclose(env.final_observations[env.truncations][:, 5], 0) and np.allclose(env.observations[env.masks][:, 5], 1)


def test_waiting_earns_nothing_and_driving_does():
    def mean_return(acceleration):
        env = envs.make("drive", 32, seed=6, report_interval=0)
        env.reset()
        for _ in range(270):
            env.step(np.tile(np.array([4, acceleration], np.int32), (env.num_agents, 1)))
        return env.log()["episode_return"]

    assert mean_return(0) < 0.1


def test_continuous_and_discrete_actions_agree():
    discrete, continuous = envs.make("drive", 4, seed=7), envs.make("drive", 4, seed=7, continuous=True)
    discrete.reset(), continuous.reset()
    rng = np.random.default_rng(2)
    for _ in range(50):
        actions = random_actions(rng, discrete)
        a = discrete.step(actions)[0]
        b = continuous.step(((actions - [4, 3]) / [4, 3]).astype(np.float32))[0]
        assert np.allclose(a, b, atol=1e-4)


def test_the_log_counts_goals_collisions_and_departures_of_every_world():
    env = envs.make("drive", 16, seed=9, report_interval=0)
    env.reset()
    rng, ends = np.random.default_rng(3), 0
    goals = losses = 0
    for _ in range(89):
        _, rewards, terminals, _, _ = env.step(random_actions(rng, env))
        ends += terminals.sum()
        goals += (terminals & (rewards > 0)).sum()
        losses += (terminals & (rewards < 0)).sum()
    log = env.log()
    assert log["n"] == ends and ends == goals + losses
    assert log["score"] * ends == pytest.approx(goals) and (log["collided"] + log["off_road"]) * ends == pytest.approx(losses)
    assert min(log["score"], log["collided"], log["off_road"]) > 0


@pytest.mark.parametrize("wrong", [{"slots": 0}, {"slots": 33}, {"parked": 0.5, "absent": 0.5}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        envs.make("drive", **wrong)
