"""What is put around an environment, written into the batch: Atari's preprocessing, and stacks of frames.

atari.py        `Atari`: a game of ale-py with skip, maximum, grey, resize, lives and clipping
frame_stack.py  `StackedBatch`: the last k observations of any environments as one; `frame_stack=k`
pixels.pyx      the loops over pixels of both
"""
