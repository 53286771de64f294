"""The commands of `python -m puffer_min`: each module has `add_arguments(parser)` and `run(args)`."""
