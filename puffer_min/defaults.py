"""Settings by environment: of the learner, only what differs from `Config`; and of the environments themselves.

The remarks say what the setting was measured to do; agent-steps are in millions, one seed unless said otherwise.
"""

DEFAULTS = {
    # Returns go up to 500, so the value loss would drown the policy's in the shared layers: with vf_coef 0.5 one seed of three is
    # solved within 3 M steps, with 0.05 ten of ten, in 1.1 to 2.2 M.
    "cartpole": {"total_steps": 3_000_000, "learning_rate": 0.01, "minibatch_size": 4096, "ent_coef": 0.0, "vf_coef": 0.05},
    # Five agents against plain scripted heroes: half of the games are won after 7.5 M steps, all from 16 M on (benchmarks/MOBA.md). A game
    # is thousands of ticks long, so gamma is high; with ent_coef 0.01 the six components of an action stay random.
    "moba": {"total_steps": 20_000_000, "num_envs": 128, "minibatch_size": 4096, "learning_rate": 3e-3, "gamma": 0.995, "ent_coef": 0.003},
    # What was shown must be kept for four steps: solved (0.95) after 0.36 M with the memory, never without.
    "memory": {"total_steps": 1_000_000, "recurrent": True},
    # Mean score 15 after 5 M and 16.7 after 11 M; with scaled inputs 15.5 after 20 M.
    "pong": {"total_steps": 20_000_000, "encoder": "standard", "ent_coef": 0.003},
    "snake": {"num_envs": 1, "total_steps": 20_000_000, "gamma": 0.97},      # score after 8 M: 93, with gamma 0.99 85
    # The reward is at the end, at most 33 steps away. With gae_lambda 1 a score of 0.9 after 1.6 to 1.9 M steps, ten seeds of ten; with
    # 0.95 four of six within 8 M, and with 0.9 none.
    "squared": {"total_steps": 6_000_000, "learning_rate": 0.01, "gae_lambda": 1.0},
}

ENVIRONMENT = {
    "snake": {"num_snakes": 1024},      # on one board
}
