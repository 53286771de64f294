"""Compiled arithmetic that the learner can do without: each is chosen by one function and proven equal to the torch it replaces."""
