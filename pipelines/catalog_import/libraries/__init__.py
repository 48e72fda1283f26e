"""Importers of the libraries of music programs, one module per program."""
