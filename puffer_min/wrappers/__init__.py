"""What is put around an environment, written into the batch: Atari's preprocessing, stacks of frames, groups.

atari.py        `Atari`: a game of ale-py with skip, maximum, grey, resize, lives and clipping
frame_stack.py  `StackedBatch`: the last k observations of any environments as one; `frame_stack=k`
pixels.pyx      the loops over pixels of both
groups.py       `with_groups`: agents of PettingZoo with different spaces, as rows of one width
"""
