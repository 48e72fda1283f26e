"""Beam transforms, and the pure batch functions inside them."""
