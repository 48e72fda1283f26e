"""The language model's side: training texts and an extended vocabulary."""
