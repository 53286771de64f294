"""`as_tianshou`: a vectorizer as Tianshou's collectors expect it.

    from tianshou.data import Collector, VectorReplayBuffer
    envs = puffer_min.as_tianshou(puffer_min.make_vec("cartpole", num_envs=8))
    collector = Collector(algorithm, envs, VectorReplayBuffer(20_000, len(envs)))
    collector.collect(n_step=2048)

Tianshou resets an environment itself when its episode ends. Ours has begun the next one by then, so the step
gives the last observation, and the reset after it the first one of the episode that already runs. Where a
collector leaves environments out of its last steps (n_episode), these play on unseen until it resets all.
"""

import numpy as np

from puffer_min.emulation.adapters import Presented, first_of, refuse


def as_tianshou(vec):
    """`vec` (of `make_vec`, or a native environment) as a vector environment; each agent is one environment.

    Observations that are Dicts come as an array of dicts, as from Tianshou's own; Tuples raise TypeError. An
    info holds "env_id", and {"mask": False} where a slot is empty. `tianshou` itself is not needed.
    """
    return TianshouVector(vec)


class TianshouVector:
    """The methods of Tianshou's `BaseVectorEnv` that collectors, trainers and its examples call."""

    is_async, waiting_id = False, ()

    def __init__(self, vec):
        self.vec, self.presented, self.next_seed = vec, Presented(vec), None
        self.env_num, space = vec.num_agents, self.presented.observation_space
        if type(space).__name__ == "Tuple":
            raise TypeError(f"observations of {space} given, which Tianshou refuses; expected a Box or a "
                            "Dict: change them in a wrapper")
        self.action_space = [self.presented.action_space] * self.env_num
        self.observation_space = [space] * self.env_num
        self.fresh = np.zeros(self.env_num, bool)       # whose episode has begun in the last step
        self.actions = np.zeros_like(vec.actions)

    def __len__(self):
        return self.env_num

    def seed(self, seed=None):
        """The seed of the next reset of all environments, of which each derives its own."""
        self.next_seed = seed

    def reset(self, env_id=None, *, seed=None, options=None):
        """(observations, infos) of `env_id`, all if None. Raises ValueError where an episode runs."""
        if options:
            refuse(options)
        agents = self.agents_of(env_id)
        if env_id is None:
            self.presented.reset(self.next_seed if seed is None else seed)
            self.next_seed = None
        elif not self.fresh[agents].all():
            raise ValueError(f"reset of environment {agents[~self.fresh[agents]][0]} given in the middle of "
                             "an episode, expected one whose episode has just ended, or env_id=None for all")
        self.fresh[agents] = False
        return self.observations_of(agents), np.array([{} for _ in agents])

    def step(self, action, id=None):
        """Observations, rewards, both flags and infos of the environments `id`, all if None."""
        agents = self.agents_of(id)
        self.actions[agents] = self.presented.take(action)
        _, rewards, terminals, truncations, finished = self.presented.step(self.actions)
        self.fresh = terminals | truncations
        last = {agent: self.presented.last_observation(agent, truncations[agent]) for agent, _ in finished}
        infos = [{"env_id": i} | ({} if self.vec.masks[i] else {"mask": False}) for i in agents.tolist()]
        results = [array[agents] for array in (rewards, terminals, truncations)]
        return self.observations_of(agents, last), *results, np.array(infos)

    def get_env_attr(self, key, id=None):
        return self.presented.call(key, indices=self.agents_of(id))

    def set_env_attr(self, key, value, id=None):
        self.presented.set_attr(key, value, self.agents_of(id))

    def render(self, **_):
        return [self.vec.render(i) for i in range(self.vec.num_envs)]

    def close(self):
        self.vec.close()

    def agents_of(self, given):
        return np.arange(self.env_num) if given is None else np.atleast_1d(given)

    def observations_of(self, agents, last=()):
        """An array of those of `agents`: of episodes that are over the `last` ones, else the present ones."""
        show, rows = self.presented.show, self.vec.observations
        return np.stack([last[i] if i in last else first_of(show(rows[i:i + 1])) for i in agents.tolist()])
