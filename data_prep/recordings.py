"""Folders of recordings that are no data set: ambient noise (WHAM!'s), speech, anything.

WHAM! noise comes as ``tr``, ``cv`` and ``tt``: training mixes in ``tr``, evaluation ``cv`` or
``tt``, never the same.
"""

import logging
import os
from pathlib import Path

import numpy as np
import torch

from data_prep.manifest import DataError, require_folder

logger = logging.getLogger(__name__)

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff")
WHAM_SPLITS = ("tr", "cv", "tt")
TRAINING_SPLITS = ("tr",)
EVALUATION_SPLITS = ("cv", "tt")
# Silent pieces drawn in a row before silence is taken for an answer.
_TRIES = 10


def audio_files(folder, what):
    """All audio below ``folder``, sorted by path; other and hidden files are ignored.

    Raises DataError, which says ``what`` was given, for a folder that is missing or has none.
    """
    folder = require_folder(folder, what, "Give a folder of recordings.")
    files = sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in AUDIO_SUFFIXES and not p.name.startswith(".")
    )
    if not files:
        raise DataError(f"{what}: no audio files ({', '.join(AUDIO_SUFFIXES)}) below {folder}.")
    return files


class NoiseFolder:
    """Pieces of the recordings of a folder, drawn at random with torch's generator.

    Nothing is read before it is drawn, and then, through a cache of memory-mapped files, only
    the piece; WHAM!'s 20 000 training files take no memory.

    Arguments
    ---------
    folder : path
        Searched with its subfolders. DataError when there is no audio, and for WHAM!'s ``cv``
        and ``tt``, which are for evaluation.
    load : callable
        Path to float32 mono samples [n] at the rate of the experiment, such as an AudioCache.
    """

    def __init__(self, folder, load):
        _refuse_splits(folder, "noise_folder", EVALUATION_SPLITS, TRAINING_SPLITS)
        self.files = audio_files(folder, "noise_folder")
        self.load = load
        self.warned = False

    def __len__(self):
        return len(self.files)

    def __call__(self, n_pieces, n_samples):
        """Tensor [n_pieces, n_samples], each from a recording of its own draw.

        Long recordings are cropped at random, short ones looped from a random sample. A silent
        piece is drawn again, ten times at most.
        """
        return torch.stack([self._piece(n_samples) for _ in range(n_pieces)])

    def _piece(self, n_samples):
        for _ in range(_TRIES):
            samples = self.load(self.files[int(torch.randint(len(self.files), ()))])
            room = len(samples) - n_samples
            if room >= 0:
                start = int(torch.randint(room + 1, ()))
                piece = np.array(samples[start : start + n_samples])
            else:
                start = int(torch.randint(len(samples), ()))
                piece = np.resize(np.roll(samples, -start), n_samples)  # repeats its argument
            if piece.any():
                break
        else:
            if not self.warned:
                logger.warning("noise_folder: %d pieces in a row were silent.", _TRIES)
            self.warned = True
        return torch.from_numpy(piece)


def noise_source(folder, load):
    """A NoiseFolder, or None without a ``folder``."""
    return NoiseFolder(folder, load) if folder else None


def _refuse_splits(folder, what, refused, allowed):
    """DataError when ``folder`` is in, is, or has inside a split of WHAM!'s that is ``refused``."""
    # As it is named and, for links, as it really is.
    for path in {Path(os.path.abspath(folder)), Path(folder).resolve()}:
        found = {path / name for name in WHAM_SPLITS if (path / name).is_dir()}
        found |= {p for p in (path, *path.parents) if p.name in WHAM_SPLITS}
        # Any folder may be called tr; WHAM!'s has another split beside it, or says WHAM.
        wrong = sorted(p for p in found if p.name in refused and _is_wham(p.parent))
        if wrong:
            raise DataError(
                f"{what}: {folder} has WHAM!'s {wrong[0].name}, which is for "
                f"{'training' if refused == TRAINING_SPLITS else 'evaluation'} only: give "
                f"{' or '.join(str(wrong[0].parent / name) for name in allowed)}."
            )


def _is_wham(folder):
    splits = sum((folder / name).is_dir() for name in WHAM_SPLITS)
    return splits > 1 or "wham" in folder.name.lower()


def refuse_training_noise(folder, trained, what="contaminant_folder"):
    """DataError when ``folder`` shares recordings with what was trained with.

    Arguments
    ---------
    folder : path
        Of contaminants for evaluation.
    trained : dict
        Setting that names trained weights to what their training recorded: the noise is in
        ``["augmentation"]["noise_path"]``, null or missing where there was none.
    what : str
        The key that named ``folder``.
    """
    _refuse_splits(folder, what, TRAINING_SPLITS, EVALUATION_SPLITS)
    folder = Path(folder).resolve()
    for key, info in trained.items():
        noise = info.get("augmentation", {}).get("noise_path")
        if noise is None:
            continue
        noise = Path(noise).resolve()
        if noise == folder or noise in folder.parents or folder in noise.parents:
            raise DataError(
                f"{what}: {folder} shares recordings with {noise}, the noise that {key} was "
                "trained with: give others, such as WHAM!'s tt."
            )
