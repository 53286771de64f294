"""The native base owns buffers, random streams, logging and checks, so that an environment is only its rules.

native.pyx     `Native`, the base class: reset, step, bind, log, close
native.pxd     its C face, what an environment's `.pyx` cimports
random.pxd     one random stream an environment
buffers.py     the flat buffers and their check
drawing.py     rectangles and tiles into an RGB array, for `render`
freshness.py   refuses an extension older than its source
compile_settings.py  how the sources are compiled, release and debug
"""
