"""The checks of the exercises, one file a level; `puffer_min/course/check.py` says how to write one.

The other files hold what checks play against answers: faces.py (level 4), layouts.py and other_sides.py
(level 5), recordings.py and crowds.py (level 9).
"""
