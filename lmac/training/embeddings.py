"""Embeddings of a frozen model, computed once, so that only the head has to be trained."""

import hashlib
import logging
from pathlib import Path

import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from torch.utils.data import DataLoader
from tqdm import tqdm

from lmac.checkpoints import CHECKPOINT_FILES, weights_digest
from lmac.io.files import is_sealed, seal, whole
from lmac.io.once import once
from lmac.io.random_state import random_numbers_kept
from lmac.io.weights import load_weights

logger = logging.getLogger(__name__)


def load_start(model, checkpoint, frozen):
    """Give an embedding model the weights that its training starts from.

    Arguments
    ---------
    model : EmbeddingModel
        Without ``checkpoint`` it loads its published weights, if it has any.
    checkpoint : path or None
        Folder with ``embedding_model.ckpt``.
    frozen : bool
        Whether only the head will be trained; ValueError when there are no weights then.
    """
    if checkpoint is not None:
        load_weights(model, Path(checkpoint) / CHECKPOINT_FILES["embedding_model"], "embedding")
    elif not model.load_pretrained() and frozen:
        raise ValueError(
            "freeze_embedding: this embedding model comes without weights: add "
            "--classifier_checkpoint=…, a folder with its embedding_model.ckpt."
        )


def embedded(datasets, model, domain, cache_folder, batch_size, device):
    """The data sets with embeddings [D] in the place of waveforms, under the same keys.

    Arguments
    ---------
    datasets : dict of str to DynamicItemDataset
        With the keys ``id``, ``sig``, ``class``.
    model : nn.Module
        Embedding model; put in eval mode and frozen here.
    domain : lmac.core.domain.Domain
    cache_folder : path or None
        Where embeddings are kept, under a name made of the weights, the clips' IDs and the
        features of the first and the last, so that a second run starts at once.
    batch_size : int
    device : str
    """
    model = model.to(device).requires_grad_(False).eval()
    domain = domain.to(device)
    weights = weights_digest(model)
    return {
        split: _embedded(split, dataset, model, domain, cache_folder, batch_size, weights)
        for split, dataset in datasets.items()
    }


@torch.no_grad()
def _embedded(split, dataset, model, domain, cache_folder, batch_size, weights):
    ids = list(dataset.data_ids)
    device = next(model.parameters()).device
    key = hashlib.sha256(f"sealed {weights} {ids}".encode())
    for i in (0, -1):  # what is read: waveforms and front end
        key.update(domain.features(dataset[i]["sig"][None].to(device)).cpu().numpy().tobytes())
    path = None
    if cache_folder is not None:
        path = Path(cache_folder) / f"embeddings-{key.hexdigest()[:16]}.pt"
    with random_numbers_kept():  # as where they are in the cache
        embeddings, classes = once(_computed, split, dataset, model, domain, path, batch_size)
    return DynamicItemDataset(
        {
            ID: {"sig": e, "class": int(c)}
            for ID, e, c in zip(ids, embeddings, classes, strict=True)
        },
        output_keys=["id", "sig", "class"],
    )


@torch.no_grad()
def _computed(split, dataset, model, domain, path, batch_size):
    """Embeddings [N, D] and classes [N], from ``path`` where it is there."""
    if path is not None and path.exists() and not is_sealed(path):
        logger.warning("%s is damaged: the embeddings are computed again.", path)
        path.unlink()
    if path is not None and path.exists():
        return torch.load(path, weights_only=True)
    device = next(model.parameters()).device
    found = []
    for batch in tqdm(DataLoader(dataset, batch_size), desc=f"embeddings of {split}"):
        embedding = model(domain.features(batch["sig"].to(device)))[0]
        found.append((embedding[:, 0].float().cpu(), batch["class"]))
    embeddings, classes = (torch.cat(part) for part in zip(*found, strict=True))
    if path is not None:
        with whole(path, "w+b", sync=False) as file:
            torch.save((embeddings, classes), file)
            seal(file)
    return embeddings, classes
