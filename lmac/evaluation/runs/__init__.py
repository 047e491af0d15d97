"""Commands over whole evaluations: folds, seeds, tables, publishing."""
