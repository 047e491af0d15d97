"""Evaluation: rows, tables, checks and repeated runs."""
