"""Any Gymnasium or PettingZoo environment as flat rows, and our environments as Gymnasium's and Stable-Baselines3's vector environments."""

import puffer_min


def __getattr__(name):
    return puffer_min._old_attribute(__name__, "observations", name)
