"""Beam jobs, one module each, and the command line that runs them."""
