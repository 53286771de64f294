"""What is put around an environment of another library before it is taken in.

masks.py        `masks_from_info`: legal actions that are told in the info or in the observation
encode.py       `encode`: functions that turn a text, a sequence or a graph into rows
options.py      `with_options`: the options of each reset, which may change
tianshou.py     `as_tianshou`: the other way, a vectorizer as Tianshou's collectors take it
vector_env.py   `from_vector_env`: a vector environment of Gymnasium, EnvPool or DLPack as one batch
"""
