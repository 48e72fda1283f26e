"""The atlas: one page that shows what the tokens of a release mean."""
