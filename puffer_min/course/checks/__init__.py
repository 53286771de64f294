"""The checks of the exercises, one file a level: level01.py to level10.py. How to write one stands in
`puffer_min/course/check.py`.
"""
