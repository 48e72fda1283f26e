"""Checks of a machine and a store before a long job: packages, device, decoders, models, lock, and room on the disk."""
