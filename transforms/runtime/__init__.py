"""What every job needs from Beam: coders, counters, rejects, progress."""
