"""What an environment is: `PufferEnv`, its actions, its episodes, and the contract that every environment is checked against."""

import puffer_min


def __getattr__(name):
    return puffer_min._old_attribute(__name__, "puffer_env", name)
