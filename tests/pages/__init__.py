"""A package, so that its conftest.py does not hide that of the whole suite."""
