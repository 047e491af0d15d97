"""The suite behind ``python -m benchmarks``."""
