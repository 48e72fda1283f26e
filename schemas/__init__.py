"""The contracts: one module a table or manifest. Nothing here imports another of our packages."""
