"""PPO, in the order in which it happens: config -> policy -> buffer -> advantage -> ppo. `kernels/` is off the reading path."""
