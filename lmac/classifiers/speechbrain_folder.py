"""SpeechBrain's ``EncoderClassifier`` checkpoints, as published: a folder or a name on the hub."""

import tempfile
from pathlib import Path

import torch
from speechbrain.inference.classifiers import EncoderClassifier
from speechbrain.utils.fetching import LocalStrategy
from torch import nn

from lmac.classifiers.network import Network


class SpeechBrainClassifier(Network):
    """A pretrained classifier that reads waveforms through its own features.

    Arguments
    ---------
    source : path or str
        Folder with ``hyperparams.yaml`` and its checkpoints, or a name on the Hugging Face hub.
        SpeechBrain builds what that file says, code included: use sources that you trust.
    layers : list of str or dict of str to str
        As in :class:`Network`; names start with ``compute_features``, ``mean_var_norm``,
        ``embedding_model`` or ``classifier``.
    sample_rate : int, optional
        Hz; by default what ``hyperparams.yaml`` says, or 16000.
    frequency_axis : str
        Of layers with one (:class:`Network`). Most of these models compute mel bands (``Fbank``);
        ``"linear"`` for one on the STFT.

    Raises ValueError when it is no ``EncoderClassifier``.
    """

    def __init__(self, source, layers=(), sample_rate=None, frequency_axis="mel"):
        # Its own files are read in place; where they come from the hub, links are made here.
        with tempfile.TemporaryDirectory() as savedir:
            local = Path(source).is_dir()
            overrides = {}
            if local:
                text = (Path(source) / "hyperparams.yaml").read_text(encoding="utf-8")
                # The usual key for where the checkpoints are, mostly a name on the hub.
                keys = [line.split(":")[0] for line in text.splitlines() if ":" in line]
                overrides = {k: str(source) for k in ("pretrained_path",) if k in keys}
            try:
                loaded = EncoderClassifier.from_hparams(
                    str(source),
                    savedir=savedir,
                    overrides=overrides,
                    local_strategy=LocalStrategy.NO_LINK if local else LocalStrategy.COPY,
                )
            except (ValueError, AttributeError, KeyError) as error:
                raise ValueError(
                    f"{source} is no SpeechBrain EncoderClassifier, whose hyperparams.yaml has "
                    f"modules {', '.join(EncoderClassifier.MODULES_NEEDED)}: {error}"
                ) from error
        encoder = getattr(loaded.hparams, "label_encoder", None)
        names = getattr(encoder, "ind2lab", None) or {}
        super().__init__(
            _Encoded(loaded.mods),
            sample_rate=sample_rate or getattr(loaded.hparams, "sample_rate", 16000),
            layers=layers,
            complete=True,
            labels=[str(names[i]) for i in sorted(names)],
            frequency_axis=frequency_axis,
        )


class _Encoded(nn.Module):
    """What ``EncoderClassifier.classify_batch`` computes, for gradients and whole batches."""

    def __init__(self, modules):
        super().__init__()
        for name in EncoderClassifier.MODULES_NEEDED:
            self.add_module(name, modules[name])

    def forward(self, wav):
        """Waveform [B, L] to outputs [B, K]."""
        lengths = torch.ones(len(wav), device=wav.device)
        features = self.mean_var_norm(self.compute_features(wav), lengths)
        embedding = self.embedding_model(features, lengths)
        return self.classifier(embedding).squeeze(1)
