"""Rows in bulk: which of a table's rows a version can answer, and the ids of the answers."""
