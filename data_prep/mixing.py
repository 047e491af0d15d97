"""The audio that a scenario manifest stands for: targets, contaminants and their mixtures."""

from pathlib import Path

import numpy as np
import torch
from speechbrain.dataio.dataset import DynamicItemDataset

from data_prep.audio import AudioCache, cropped, fit_length, peak_normalise
from data_prep.scenario_kinds import GAUSSIAN


def mix(target, contaminant, gain_target, gain_contaminant):
    """``g1 s1 / |s1| + g2 s2 / |s2|``, peak normalised, and the target's part in it.

    Arguments
    ---------
    target : Tensor [L]
    contaminant : Tensor [L] or None
        None leaves the target alone, peak normalised.

    Returns
    -------
    (mixture, clean) : Tensors [L]
        Silent signals stay silent.
    """
    clean = gain_target * target / target.norm().clamp_min(1e-8)
    mixture = clean
    if contaminant is not None:
        mixture = clean + gain_contaminant * contaminant / contaminant.norm().clamp_min(1e-8)
    scale = mixture.abs().amax().clamp_min(1e-8)
    return peak_normalise(mixture), clean / scale


def scenario_dataset(
    rows,
    data_folder,
    labels,
    n_samples,
    cache_folder=None,
    sample_rate=16000,
    contaminant_folder=None,
    crop="start",
):
    """Items with keys ``id``, ``target``, ``class``, ``sig`` and ``clean`` (float32 [n_samples]).

    ``sig`` is what is explained, ``clean`` the target's part of it. Contaminants are in
    ``contaminant_folder``, by default ``data_folder``.
    """
    cache = AudioCache(cache_folder, sample_rate)
    number = {name: i for i, name in enumerate(labels)}
    folder = Path(data_folder)
    other_folder = Path(contaminant_folder or data_folder)

    def contaminant_signal(name, wav, offset, short):
        if name == GAUSSIAN:
            return torch.randn(n_samples, generator=torch.Generator().manual_seed(offset))
        if not wav:
            return None
        samples = cache(other_folder / wav)
        if short == "loop" and len(samples) < n_samples:
            return torch.from_numpy(np.resize(samples, n_samples))  # repeats its argument
        return torch.from_numpy(fit_length(samples, n_samples, offset))

    def render(target_wav, name, wav, gain_target, gain_contaminant, offset, short):
        target = torch.from_numpy(cropped(cache(folder / target_wav), n_samples, crop))
        contaminant = contaminant_signal(name, wav, offset, short)
        yield from mix(target, contaminant, gain_target, gain_contaminant)

    return DynamicItemDataset(
        {row.ID: row._asdict() for row in rows.itertuples(index=False)},
        dynamic_items=[
            {
                "func": render,
                "takes": [
                    "target_wav",
                    "contaminant",
                    "contaminant_wav",
                    "gain_target",
                    "gain_contaminant",
                    "offset",
                    "short",
                ],
                "provides": ["sig", "clean"],
            },
            {"func": number.__getitem__, "takes": "label", "provides": "class"},
        ],
        output_keys=["id", "target", "class", "sig", "clean"],
    )
