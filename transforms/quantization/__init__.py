"""Vectors to codes: training, aligning and assigning."""
