"""Settings of the learner by environment: only what differs from `Config`. The environment's own settings are the defaults of its `.pyx`.

The remarks say what the setting was measured to do; agent-steps are in millions, one seed unless said otherwise.
"""

DEFAULTS = {
    # Few balls are lost, and late, so gamma is high; and whoever fires earns at once, so without a bonus for entropy the paddle forgets
    # how to move before it has hit a ball. 800 of 864 points after 18 to 60 M, ten seeds of ten; where the rate falls to 0
    # within 40 M, two of six are stuck below.
    "breakout": {"total_steps": 100_000_000, "encoder": "standard", "gamma": 0.9985, "gae_lambda": 0.97, "ent_coef": 0.03, "anneal_ent": True,
                 "vf_coef": 0.05},
    # Returns go up to 500, so the value loss would drown the policy's in the shared layers: with vf_coef 0.5 one seed of three is
    # solved within 3 M steps, with 0.05 ten of ten, in 1.1 to 2.2 M.
    "cartpole": {"total_steps": 3_000_000, "learning_rate": 0.01, "minibatch_size": 4096, "ent_coef": 0.0, "vf_coef": 0.05},
    # The result is all that pays, some ten moves later. 0.95 after 4 to 20 M, 19 seeds of 19; 64 units reach it, too, the slowest of 15 after
    # 40 M. Of the threats, the random stones and the weaker games none can be missed: without, 0.87 to 0.93 is the end for some (LEARNER.md).
    "connect4": {"total_steps": 40_000_000, "num_envs": 4096, "horizon": 16, "encoder": "onehot", "hidden_size": 128, "gamma": 0.999,
                 "gae_lambda": 1.0, "ent_coef": 0.03, "anneal_ent": True},
    # 64 worlds of up to 32 cars. 0.55 reach their goal after 7 M and it still rises; with scaled inputs and gamma 0.98 0.43.
    "drive": {"total_steps": 15_000_000, "num_envs": 64, "encoder": "standard", "gamma": 0.97, "ent_coef": 0.003, "anneal_ent": True, "vf_coef": 0.1},
    # Of 100 episodes of random play 2 reach the goal of DoorKey. Normalised, the noise of the other 98 would drown them; and small
    # minibatches, so that one of them is not a drop in 8,192 steps. Found by a sweep: 0.95 after 1.9 M, six seeds of six, slowest 2.1 (a rate of
    # 2e-3, minibatches of 2,048 and an entropy bonus of 0.001: 2.4 M, slowest 3.2).
    "grid": {"total_steps": 5_000_000, "num_envs": 256, "horizon": 128, "minibatch_size": 1024, "update_epochs": 2, "encoder": "onehot",
             "learning_rate": 6e-3, "ent_coef": 0.0005, "norm_adv": False},
    # Five agents against plain scripted heroes: half of the games are won after 7.5 M steps, all from 16 M on (benchmarks/MOBA.md). A game
    # is thousands of ticks long, so gamma is high; with ent_coef 0.01 the six components of an action stay random.
    "moba": {"total_steps": 20_000_000, "num_envs": 128, "minibatch_size": 4096, "learning_rate": 3e-3, "gamma": 0.995, "ent_coef": 0.003},
    # What was shown must be kept for four steps: solved (0.95) after 0.28 M with the memory (0.38 M at half the rate; a sweep), never without.
    "memory": {"total_steps": 1_000_000, "recurrent": True, "learning_rate": 0.013},
    # Each point is a contest of its own (until_reward): 20 of 21 after 11 to 17 M, ten seeds of ten, then 20.5. Where credit reaches beyond it,
    # a risk that ends it sooner pays whatever gamma is (19.5 with 0.99), and with 0.998 all drowns in the luck of later points (17). The best
    # of a sweep, an entropy bonus of 0.005 and gae_lambda 0.965, leaves three seeds of ten at 19.1 to 19.4.
    "pong": {"total_steps": 24_000_000, "num_envs": 512, "horizon": 64, "encoder": "standard", "update_epochs": 2, "learning_rate": 0.01,
             "gamma": 0.999, "gae_lambda": 0.985, "until_reward": True, "ent_coef": 0.03, "anneal_ent": True},
    # Rate, gamma and the rest are the best of a sweep: with one board, length 93 after 8 M (91.7 to 94.0, three seeds), where everybody's settings
    # with gamma 0.97 have 90. Four boards and larger minibatches make 1.2 to 1.3 times as many steps/s, and are as long after as many seconds.
    "snake": {"num_envs": 4, "total_steps": 30_000_000, "minibatch_size": 16_384, "learning_rate": 0.015, "gamma": 0.955, "gae_lambda": 0.93,
              "ent_coef": 0.0025, "vf_coef": 0.4},
    # The reward is at the end, at most 33 steps away. With gae_lambda 1 a score of 0.9 after 1.6 to 1.9 M steps, ten seeds of ten; with
    # 0.95 four of six within 8 M, and with 0.9 none. One of the best of 31 trials of a sweep needed 2.2 M, and one seed of six was stuck.
    # 2,048 agents need 1.2 times as many steps as 1,024, and as many seconds.
    "squared": {"num_envs": 2048, "total_steps": 6_000_000, "learning_rate": 0.01, "gae_lambda": 1.0},
    # With foresight 0.8 of the games are won after 12 to 18 M, ten seeds of ten; without 0.70 to 0.74 after 40 M (five); the best player wins 0.987.
    # With gae_lambda 0.8, or gamma 0.97, it learns to stall until it has lost: a defeat far away is a smaller one, or out of sight.
    "triple_triad": {"total_steps": 32_000_000, "encoder": "standard", "hidden_size": 128, "learning_rate": 0.01, "gamma": 1.0, "gae_lambda": 0.9,
                     "ent_coef": 0.03, "anneal_ent": True, "vf_coef": 0.2},
}
