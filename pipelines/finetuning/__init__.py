"""Fine-tuning of a language model on the tokens."""
