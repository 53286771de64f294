"""Gymnasium and PettingZoo environments as flat rows, and vectorizers for the trainers of other libraries."""

import puffer_min


def __getattr__(name):
    return puffer_min._old_attribute(__name__, "observations", name)
