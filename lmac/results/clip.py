"""One explained clip, as tables and pages show it."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Clip:
    """One explained clip, and what each method made of it.

    ``rows`` maps a method to its line of ``metrics.csv`` (a dict, undefined numbers are NaN),
    ``folders`` a method to the folder of its audio and picture, where there is one.
    """

    ID: str
    scenario: str
    domain: str
    label: str
    decision: str
    correct: bool
    p: float
    results: Path
    rows: dict = field(default_factory=dict)
    folders: dict = field(default_factory=dict)

    def file(self, method, name):
        """Path of a file such as "removed.wav" of ``method``, None where it is missing."""
        folder = self.folders.get(method)
        return folder / name if folder and (folder / name).is_file() else None

    @property
    def input(self):
        """Path of the audio of the input, None where no method wrote it."""
        return next(filter(None, (self.file(m, "input.wav") for m in self.folders)), None)
