"""Match written tokens to tracks."""
