"""Slow twins: the same rules in plain Python, written the way people write them. Each is the oracle of its native twin."""
