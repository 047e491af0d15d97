"""Rows of a check that are kept from call to call, by what they were computed with."""

import pandas as pd


class RowCache:
    """The rows of a check in an evaluation's folder; the file grows part by part.

    Arguments
    ---------
    folder : lmac.evaluation.folder.EvaluationFolder
    name : str
        Of the check's file.
    columns : list of str
        With ``method`` and ``computed_with``.
    """

    def __init__(self, folder, name, columns):
        self.folder, self.name, self.columns = folder, name, list(columns)
        known = folder.check(name)
        self._rows = pd.DataFrame(columns=self.columns) if known is None else known

    def lacks(self, computed_with, **part):
        """Whether a part, such as ``method="L-MAC"``, has no rows or was computed otherwise."""
        there = self._rows[self._of(part)]
        return set(there["computed_with"]) != {computed_with}

    def keep_only(self, ending, **part):
        """Forget rows of a part whose ``computed_with`` has another ending: of another network."""
        other = ~self._rows["computed_with"].astype(str).str.endswith(ending)
        self._rows = self._rows[~(self._of(part) & other)]

    def put(self, rows, computed_with, **part):
        """Write the rows (dictionaries) of a part, in the place of those that it had."""
        table = pd.DataFrame(rows).assign(computed_with=computed_with, **part)
        table = table.reindex(columns=self.columns)
        others = self._rows[~self._of(part)].reindex(columns=self.columns)
        self._rows = pd.concat([others, table]) if len(others) else table
        self.folder.write_check(self.name, self._rows)

    def rows(self):
        """All rows, as the file has them, so that a later call gives the same."""
        return self.folder.check(self.name)

    def _of(self, part):
        same = pd.Series(True, index=self._rows.index)
        for key, value in part.items():
            same &= self._rows[key] == value
        return same
