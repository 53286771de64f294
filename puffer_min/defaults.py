"""Settings of the learner by environment: only what differs from `Config`, and why; and settings of the environments themselves."""

DEFAULTS = {
    "cartpole": {},
    "snake": {"num_envs": 1},
    "squared": {},
}

ENVIRONMENT = {
    "snake": {"num_snakes": 1024},      # on one board
}
