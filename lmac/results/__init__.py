"""The folder of an evaluation: scoring, rows, tables, checks."""
