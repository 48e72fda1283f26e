"""Import of catalogs: the two input tables, made from music folders, public datasets and libraries."""
