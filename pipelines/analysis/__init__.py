"""Reading a release: reports, inspection, diff, matching, evaluation."""
