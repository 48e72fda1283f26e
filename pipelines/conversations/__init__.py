"""Conversations that recommend tracks: their form, and how they are made from playlists or imported."""
