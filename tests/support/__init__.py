"""Fixtures, catalogs and encoders that several test modules share."""
