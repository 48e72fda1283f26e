"""Arrow schemas, one module per table."""
