"""Continuity of code numbers and vector spaces across trainings."""
