"""Slow twins: the same rules in plain Python. Each is the oracle of its native twin."""
