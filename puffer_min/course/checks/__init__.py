"""The checks of the exercises, one file a level; `puffer_min/course/check.py` says how to write one.

Two files hold what checks play against answers: other_sides.py (level 5) and recordings.py (level 9).
"""
