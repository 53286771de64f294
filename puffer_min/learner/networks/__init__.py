"""Parts that a network is made of: encoders.py is how observations enter it."""
