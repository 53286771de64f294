"""PPO, in the order in which it happens: config -> policy -> buffer -> advantage -> ppo."""
