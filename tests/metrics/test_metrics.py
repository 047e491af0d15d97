"""The dictionary of metrics: what it holds, what it refuses, and how it grows."""
