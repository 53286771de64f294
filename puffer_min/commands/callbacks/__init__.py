"""Callbacks of `train`: the protocol (callback.py) and three that are often wanted.

    evaluation.py   `Evaluation`: whole episodes on separate environments; the best policy is kept
    early_stop.py   `EarlyStop`: the run ends when a number has not improved for a while
    picture.py      `EpisodeGIF`: an episode of the present policy as a GIF
"""

from puffer_min.commands.callbacks.callback import Callback, CallbackError
from puffer_min.commands.callbacks.early_stop import EarlyStop
from puffer_min.commands.callbacks.evaluation import Evaluation
from puffer_min.commands.callbacks.picture import EpisodeGIF

__all__ = ["Callback", "CallbackError", "EarlyStop", "EpisodeGIF", "Evaluation"]
