"""Any Gymnasium or PettingZoo environment as flat rows, and our environments as Gymnasium's and Stable-Baselines3's vector environments."""
