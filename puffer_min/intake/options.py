"""`with_options`: the options of each reset, which may change while the environments run.

    vec = make_vec(lambda: puffer_min.with_options(gymnasium.make("MyEnv-v0"), {"level": 1}), num_envs=8)
    vec.set_attr("options", {"level": 2})       # of episodes that begin from now on, in all environments
"""

import gymnasium


def with_options(env, options=None) -> gymnasium.Env:
    """`env`, whose `reset` is given its attribute `options`, a dict or None."""
    return WithOptions(env, options)


class WithOptions(gymnasium.Wrapper):
    """See `with_options`."""

    def __init__(self, env, options):
        super().__init__(env)
        self.options = options

    def reset(self, *, seed=None, options=None):
        return self.env.reset(seed=seed, options=self.options if options is None else options)
