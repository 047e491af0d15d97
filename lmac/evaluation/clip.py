"""One explained clip, as tables and pages show it."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Clip:
    """One explained clip, and what each method made of it.

    ``folder`` is that of what all methods share, whether it is there or not. ``rows`` maps a
    method to its line of ``metrics.csv`` (a dict, undefined numbers are NaN), ``folders`` a method
    to the folder of its audio and picture, where there is one.
    """

    ID: str
    scenario: str
    domain: str
    label: str
    decision: str
    correct: bool
    p: float
    results: Path
    folder: Path
    rows: dict = field(default_factory=dict)
    folders: dict = field(default_factory=dict)

    def file(self, method, name):
        """Path of a file such as "removed.wav" of ``method``, None where it is missing."""
        folder = self.folders.get(method)
        return folder / name if folder and (folder / name).is_file() else None

    def shared(self, name):
        """Path of a file that all methods share, such as "target.wav", None where it is missing."""
        return self.folder / name if (self.folder / name).is_file() else None

    def input_of(self, method):
        """Path of the audio of the input, at the gain of the sounds of ``method``, or None.

        Folders of earlier versions have one beside the sounds of each method.
        """
        return self.file(method, "input.wav") or self.shared("input.wav")

    @property
    def input(self):
        """Path of the audio of the input, None where there is none."""
        inputs = (self.input_of(method) for method in self.folders)
        return next(filter(None, inputs), None)
