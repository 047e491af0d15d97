"""Rows of a check that are kept from call to call, by what they were computed with."""

import logging

import pandas as pd

logger = logging.getLogger(__name__)


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

    def keep_only(self, is_current):
        """Forget the rows for which ``is_current`` (of a row as a Series) is false."""
        current = self._rows.apply(is_current, axis=1).astype(bool)
        if len(self._rows) and not current.all():
            logger.warning(
                "%s.csv: %d rows of another classifier, seed, precision or other clips are "
                "dropped.", self.name, (~current).sum(),
            )  # fmt: skip
            self._rows = self._rows[current]
            self.folder.write_check(self.name, self._rows)

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
