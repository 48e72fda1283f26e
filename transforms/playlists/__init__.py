"""Playlist corpus and playlist vectors."""
