"""Encoding in Beam: batches of inputs, the model handler of ``RunInference``, and the transform that writes records."""
