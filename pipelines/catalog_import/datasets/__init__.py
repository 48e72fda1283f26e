"""Importers of public datasets and of exports, one module per format."""
