"""The numeric core: fit, assign and measure codebooks, name their tokens. Arrays in, arrays out; no Beam, no files."""
