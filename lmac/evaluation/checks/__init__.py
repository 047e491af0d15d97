"""Checks: measures over an evaluation's clips beyond its metrics, one file each."""
