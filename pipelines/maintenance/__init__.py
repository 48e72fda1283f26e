"""Store maintenance: verify, compact, collect garbage, roll back."""
