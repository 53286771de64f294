"""Adapters out: a vectorizer with the face that another library's trainer expects."""
