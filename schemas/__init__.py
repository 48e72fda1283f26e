"""Contracts between the packages: one module per table or manifest. Imports no other package of this project."""
