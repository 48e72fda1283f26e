"""Evaluation of recommendations in conversations, and the rivals of the tokens."""
