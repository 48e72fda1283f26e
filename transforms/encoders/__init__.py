"""Encoders: one module a way of turning a modality's input into a vector."""
