"""Keeping code numbers and vector spaces across trainings."""
