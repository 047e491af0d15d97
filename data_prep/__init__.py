"""Data sets to manifests, decoded audio, mixtures and the built-in sounds."""
