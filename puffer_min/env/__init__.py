"""What an environment is: `PufferEnv`, its actions and episodes, and the contract that it must meet."""

import puffer_min


def __getattr__(name):
    return puffer_min._old_attribute(__name__, "puffer_env", name)
