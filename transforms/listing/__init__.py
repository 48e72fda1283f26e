"""Listing of input files: patterns, local folders, remote filesystems, and what goes wrong there."""
