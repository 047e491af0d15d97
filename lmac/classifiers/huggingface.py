"""Audio classifiers of Hugging Face ``transformers``: a folder or a name on the hub.

The networks are theirs. The front ends are rebuilt here, since theirs pass through NumPy and let
no gradient through.
"""

import torch
import torchaudio
from torch import nn

from lmac.classifiers.network import Network

INSTALL = "pip install transformers"


class HuggingFaceClassifier(Network):
    """A pretrained audio classifier: AST, or one on waveforms such as wav2vec 2.0 and HuBERT.

    Arguments
    ---------
    source : path or str
        Folder of ``save_pretrained`` with model and feature extractor, or a name on the hub, such
        as ``MIT/ast-finetuned-audioset-10-10-0.4593``. Code from the hub is never run.
    layers : list of str or dict of str to str, optional
        As in :class:`Network`. By default up to four of its transformer layers.

    Raises ValueError for a feature extractor that is neither AST's nor that of wav2vec 2.0.
    """

    def __init__(self, source, layers=None):
        try:
            from transformers import AutoFeatureExtractor, AutoModelForAudioClassification
        except ImportError as error:
            raise ValueError(f"Hugging Face classifiers need transformers: {INSTALL}") from error
        extractor = AutoFeatureExtractor.from_pretrained(source)
        model = AutoModelForAudioClassification.from_pretrained(source)
        kind = type(extractor).__name__
        input_length = None
        if kind == "ASTFeatureExtractor":
            front_end = ASTFeatures(extractor)
            input_length = front_end.longest
        elif kind == "Wav2Vec2FeatureExtractor":
            front_end = Normalise() if extractor.do_normalize else nn.Identity()
        else:
            raise ValueError(
                f"{source} has a {kind}: expected ASTFeatureExtractor or "
                "Wav2Vec2FeatureExtractor. Write a module that computes its features in torch, "
                "and use lmac.classifiers.Network."
            )
        network = _Model(front_end, model)
        names = model.config.id2label
        super().__init__(
            network,
            sample_rate=extractor.sampling_rate,
            input_length=input_length,
            layers=transformer_layers(network, kind) if layers is None else layers,
            complete=True,
            labels=[names[i] for i in range(len(names))],
            # Patches of AST's mel bands; the others have no frequency axis.
            frequency_axis="mel" if kind == "ASTFeatureExtractor" else None,
            outputs="sigmoid" if _has_labels(model.config) else "softmax",
        )
        if kind == "ASTFeatureExtractor":
            self.tap.grid = front_end.grid(model.config)
            self.pad = False  # the extractor pads its features


def _has_labels(config):
    """Whether the model was trained for any number of labels at once."""
    return config.problem_type == "multi_label_classification"


class _Model(nn.Module):
    """Front end and model: waveform [B, L] to logits [B, K]."""

    def __init__(self, front_end, model):
        super().__init__()
        self.front_end = front_end
        self.model = model

    def forward(self, wav):
        return self.model(self.front_end(wav)).logits


def transformer_layers(network, kind="", count=4):
    """``count`` layers of the longest stack of transformer layers, with the axes of tokens.

    The last one is left out for AST: its head reads two tokens only, so that the others have no
    influence, and no gradient, from there on.
    """
    stacks = [(n, m) for n, m in network.named_modules() if isinstance(m, nn.ModuleList)]
    stacks = [(n, m) for n, m in stacks if n.endswith(".layers")]
    if not stacks:
        raise ValueError("layers: this model has no stack of transformer layers: name some.")
    name, stack = max(stacks, key=lambda pair: len(pair[1]))
    last = len(stack) - (2 if kind == "ASTFeatureExtractor" else 1)
    picks = {round(i * max(0, last) / max(1, count - 1)) for i in range(count)}
    return {f"{name}.{i}": "BTC" for i in sorted(picks)}


class Normalise(nn.Module):
    """Zero mean and unit variance of each clip, as ``Wav2Vec2FeatureExtractor`` does it."""

    def forward(self, wav):
        variance = wav.var(1, keepdim=True, unbiased=False)
        return (wav - wav.mean(1, keepdim=True)) / (variance + 1e-7).sqrt()


class ASTFeatures(nn.Module):
    """Kaldi filterbank of ``ASTFeatureExtractor``, differentiable.

    Arguments
    ---------
    extractor : transformers.ASTFeatureExtractor
    """

    def __init__(self, extractor):
        super().__init__()
        self.rate = extractor.sampling_rate
        self.n_mels = extractor.num_mel_bins
        self.n_frames = extractor.max_length
        self.mean, self.std = extractor.mean, extractor.std
        self.normalise = extractor.do_normalize

    @property
    def longest(self):
        """Samples in ``max_length`` frames of 25 ms every 10 ms."""
        return (self.n_frames - 1) * self.rate // 100 + self.rate // 40

    def grid(self, config):
        """Tokens for the whole clip (two), patches over mel bands and over time."""
        return 2, *(
            (size - config.patch_size) // stride + 1
            for size, stride in (
                (config.num_mel_bins, config.frequency_stride),
                (config.max_length, config.time_stride),
            )
        )

    def forward(self, wav):
        """Waveform [B, L] to features [B, max_length, n_mels], zero-padded before normalising."""
        banks = [
            torchaudio.compliance.kaldi.fbank(
                w[None], sample_frequency=self.rate, window_type="hanning",
                num_mel_bins=self.n_mels,
            )
            for w in wav
        ]  # fmt: skip
        bank = torch.stack(banks)[:, : self.n_frames]
        bank = nn.functional.pad(bank, (0, 0, 0, self.n_frames - bank.shape[1]))
        return (bank - self.mean) / (2 * self.std) if self.normalise else bank
