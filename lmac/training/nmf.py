"""The NMF dictionary of L2I: spectral shapes W of the training clips."""

import hashlib
import logging
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import MiniBatchNMF
from tqdm import tqdm

from lmac.io.files import damage, write_checked, write_csv
from lmac.io.once import once
from lmac.io.random_state import random_numbers_kept

logger = logging.getLogger(__name__)

# Largest log1p|S| of a frame that counts as silent; a full-scale sine is at about 4.6.
SILENCE = 0.01
# Frames of one update of the dictionary, and how much of the past an update keeps. One that
# keeps more (0.98) takes several times as many epochs to the same error.
BATCH = 256
MEMORY = 0.9
HELD_OUT = 2000  # at most this many frames, and a tenth of all, measure convergence


def training_frames(waveforms, domain, max_frames, seed=0, total=None):
    """Frames of log1p|S| that are not silent.

    Arguments
    ---------
    waveforms : iterable of Tensor [L]
    domain : lmac.core.domain.StftDomain
    max_frames : int
        Where there are more, a random subset of this many, drawn evenly over all frames; never
        more than about twice as many are in memory.
    seed : int
        Of that subset.
    total : int, optional
        Number of waveforms, for the progress bar.

    Returns
    -------
    frames : float32 array [N, n_bins]
    n_found : int
        Number of frames before a subset was taken.

    Raises ValueError when all clips are silent.
    """
    generator = np.random.default_rng(seed)
    pieces, ranks, n_found = [], [], 0
    device = next(domain.buffers()).device
    for wav in tqdm(waveforms, desc="Spectrograms for the dictionary", total=total):
        X = domain.analyse(wav[None].to(device))[0][0].cpu().numpy()
        pieces.append(X[X.max(1) > SILENCE])
        ranks.append(generator.random(len(pieces[-1])))
        n_found += len(pieces[-1])
        if sum(map(len, ranks)) > 2 * max_frames:
            pieces, ranks = _lowest(pieces, ranks, max_frames)
    if not n_found:
        raise ValueError("All training clips are silent: there is nothing to learn W from.")
    pieces, ranks = _lowest(pieces, ranks, max_frames)
    return pieces[0], n_found


def _lowest(pieces, ranks, n):
    """The ``n`` frames of the lowest ranks, in the order they came in."""
    ranks = np.concatenate(ranks)
    kept = np.sort(np.argsort(ranks, kind="stable")[:n])
    return [np.concatenate(pieces)[kept]], [ranks[kept]]


def relative_error(X, estimate):
    """``||X - estimate||_F / ||X||_F`` of two arrays."""
    return float(np.linalg.norm(X - estimate) / np.linalg.norm(X))


def learn_dictionary(frames, n_components=100, seed=0, tolerance=0.005, max_epochs=40):
    """Mini-batch NMF (scikit-learn's ``MiniBatchNMF``), ``X ~ W H``.

    Arguments
    ---------
    frames : array [N, n_bins]
        Not negative.
    n_components : int
        Columns K of W; ValueError when there are not more frames than that.
    seed : int
    tolerance : float
        Stop when an epoch lowers the error by less than this share of it.
    max_epochs : int

    Returns
    -------
    W : float32 array [n_bins, K]
        Columns of unit Euclidean norm.
    history : DataFrame
        ``epoch``, ``relative_error`` of ``||X - W H||_F / ||X||_F`` with the best H, on frames
        that are held out of the learning, and ``seconds``.
    """
    order = np.random.default_rng(seed).permutation(len(frames))
    n_held = min(HELD_OUT, len(frames) // 10)
    held, used = frames[order[:n_held]], order[n_held:]
    if n_held == 0 or len(used) <= n_components:
        raise ValueError(
            f"n_components: {n_components} components cannot be learnt from {len(frames)} frames "
            "that are not silent: give a smaller --n_components, or more or longer clips."
        )
    batch = max(BATCH, n_components)
    nmf = MiniBatchNMF(
        n_components, batch_size=batch, forget_factor=MEMORY, random_state=seed,
    )  # fmt: skip
    rows, start = [], time.perf_counter()
    shuffle = np.random.default_rng(seed + 1)
    progress = tqdm(range(1, max_epochs + 1), desc="NMF dictionary", unit="epoch")
    for epoch in progress:
        shuffle.shuffle(used)
        # Batches of nearly one size: a tiny last one would weigh as much as the others.
        for part in np.array_split(used, max(1, len(used) // batch)):
            nmf.partial_fit(frames[part])
        error = relative_error(held, nmf.transform(held) @ nmf.components_)
        rows.append((epoch, error, round(time.perf_counter() - start, 1)))
        progress.set_postfix_str(f"relative error {error:.4f}")
        if len(rows) > 1 and rows[-2][1] - error < tolerance * rows[-2][1]:
            break
    progress.close()
    W = nmf.components_.T
    W = W / np.linalg.norm(W, axis=0).clip(1e-12)
    history = pd.DataFrame(rows, columns=["epoch", "relative_error", "seconds"])
    return W.astype(np.float32), history


def made_of(hparams, ids):
    """What a dictionary depends on, as a dict of strings.

    Reads from ``hparams``: ``n_components``, ``seed``, ``nmf_max_frames``, ``nmf_tolerance``,
    ``nmf_max_epochs``, ``signal_length_s`` and the settings of the front end.
    """
    keys = ("n_components", "seed", "nmf_max_frames", "nmf_tolerance", "nmf_max_epochs")
    keys += ("signal_length_s", "sample_rate", "n_fft", "win_length", "hop_length")
    digest = hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()[:12]
    return {**{k: str(hparams[k]) for k in keys}, "training clips": digest}


def save_dictionary(path, W, error, made):
    """Write W [n_bins, K], its relative error and ``made_of``; never half a file."""
    parts = {"W": W, "relative_error": error}
    parts |= {"made_of": list(made), "made_with": list(made.values())}
    path = Path(path)
    write_checked({path.name: lambda file: np.savez(file, **parts)}, path.parent)


def load_dictionary(path, made):
    """W [n_bins, K] and its relative error.

    Raises ValueError when ``path`` is no dictionary, or one that was made of something else than
    ``made``.
    """
    remedy = "delete the file to learn it anew, or give another --output_folder."
    try:
        with np.load(path, allow_pickle=False) as file:
            W, error = file["W"], float(file["relative_error"])
            found = dict(zip(file["made_of"].tolist(), file["made_with"].tolist(), strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as problem:
        raise ValueError(f"{path} is not a dictionary of L2I: {remedy}") from problem
    for key, value in made.items():
        if found.get(key) != value:
            raise ValueError(
                f"{path} was made with {key} {found.get(key)}, now it is {value}: {remedy}"
            )
    return W, error


def prepare_dictionary(path, dataset, domain, hparams):
    """Learn the dictionary of a training set, or take the one at ``path`` when it agrees.

    Arguments
    ---------
    path : path
        ``dictionary.npz``; ``dictionary.csv`` with the history is written beside it.
    dataset : speechbrain DynamicItemDataset
        With ``id`` and ``sig``, as ``data_prep.dataset.clip_dataset`` gives it.
    domain : lmac.core.domain.StftDomain
    hparams : dict
        See ``made_of``.

    Returns
    -------
    W : Tensor [n_bins, K]
    relative_error : float
    """
    path = Path(path)
    made = made_of(hparams, dataset.data_ids)
    with random_numbers_kept():  # a run that finds it there must not draw others afterwards
        W, error = once(_learnt, path, dataset, domain, hparams, made)
    return torch.from_numpy(W), error


def _learnt(path, dataset, domain, hparams, made):
    problem = damage(path)
    if problem:
        logger.warning("%s: it is learnt again.", problem)
    if problem or not path.exists():
        _learn_and_save(path, dataset, domain, hparams, made)
    W, error = load_dictionary(path, made)
    print(f"Dictionary: relative reconstruction error {error:.4f} on held-out frames; {path}")
    return W, error


def _learn_and_save(path, dataset, domain, hparams, made):
    seed, bound = hparams["seed"], hparams["nmf_max_frames"]
    waveforms = (dataset[i]["sig"] for i in range(len(dataset)))
    frames, n_found = training_frames(waveforms, domain, bound, seed, len(dataset))
    subset = f", of which a random {len(frames)} are used" if n_found > len(frames) else ""
    print(f"Dictionary: {n_found} frames that are not silent{subset}.")
    keys = ("nmf_tolerance", "nmf_max_epochs")
    W, history = learn_dictionary(
        frames, hparams["n_components"], seed, *[hparams[k] for k in keys]
    )
    write_csv(history, path.with_suffix(".csv"))
    save_dictionary(path, W, history["relative_error"].iloc[-1], made)
