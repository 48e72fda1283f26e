"""Matching generated tokens to tracks."""
