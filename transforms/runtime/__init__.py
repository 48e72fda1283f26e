"""Beam parts that every job uses: coders, counters, rejects, progress."""
