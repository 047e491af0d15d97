"""Decoders: from the classifier's representations to a mask.

Every decoder is built as ``decoder(channels, n_classes)``, for the channels of the classifier's
representations, finest first; for a zero-shot classifier also with ``condition_size``, the D
below. It is called as ``decoder(representations, X, target, domain)`` with representations
[B, C, T', F'], finest first, and what is explained: classes [B], or vectors [B, D] such as
embeddings of text. It answers mask logits with the shape of ``X``.
"""

import torch
import torch.nn.functional as F
from speechbrain.lobes.models.Cnn14 import CNN14PSI, CNN14PSI_stft
from torch import nn

from lmac.core.fast import conv_norm_relu


class ConvNorm(nn.Sequential):
    """Convolution, batch norm and ReLU that keep the map's size."""

    def __init__(self, n_in, n_out, kernel=3):
        super().__init__(
            nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
        )

    def forward(self, maps):
        return conv_norm_relu(maps, *self)


class Condition(nn.Module):
    """A vector to the scale and shift of channels (FiLM; Perez et al., AAAI 2018).

    Arguments
    ---------
    size : int
        Of the vector.
    channels : int
    """

    def __init__(self, size, channels):
        super().__init__()
        self.film = nn.Linear(size, 2 * channels)
        # For a vector of length 1, whatever its size: scales of 1 +- 0.3, shifts of +- 0.3.
        nn.init.normal_(self.film.weight, std=0.3)
        nn.init.zeros_(self.film.bias)

    def forward(self, vector):
        """``vector`` [B, D] to scale and shift, both [B, C, 1, 1]."""
        scale, shift = self.film(vector)[:, :, None, None].chunk(2, 1)
        return 1 + scale, shift


class Summary(nn.Module):
    """Maps as one vector of length 1: a projection of their mean plus maximum, as CNN14 pools.

    Arguments
    ---------
    channels : int
        Of the maps.
    size : int
        Of the vector.
    """

    def __init__(self, channels, size):
        super().__init__()
        self.project = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, size))

    def forward(self, maps):
        """``maps`` [B, C, T', F'] to vectors [B, D]."""
        return F.normalize(self.project(maps.mean((2, 3)) + maps.amax((2, 3))), dim=1)


class Decoder(nn.Module):
    """Base class of decoders, which are built and called as this module's docstring says.

    ``conditioned`` tells whether ``target`` changes the mask, so that other classes than the
    classifier's decision can be asked for; ``settings`` (dict) what tells decoders of one class
    apart beside the shapes of their weights.
    """

    conditioned = False
    settings = {}


class TopDownDecoder(Decoder):
    """Our decoder: a feature pyramid, then a mask that follows the detail of X.

    Coarse to fine, each representation is projected to ``hidden`` channels, added to the
    upsampled coarser level and smoothed. At the classifier's own resolution a few channels
    see the features once more and yield two numbers per cell: how much to keep of it, and
    how much more of what stands out inside it. The latter makes the mask as fine as the STFT
    while every convolution stays at the coarser resolution:

        logit(t, f) = a(t, band of f) + b(t, band of f) * (X(t, f) - mean of X in that band)

    So by default it reads X beside the representations, which the paper's decoder does not. With
    ``reads_input`` off it sees the representations alone, as in the paper: a(t, band of f) is all.

    The classifier decides on a whole clip, a convolution sees a part of it. So every level is
    scaled and shifted by a summary of the coarsest representation, its mean plus maximum over
    time and frequency: with it each place can tell which of the sounds there decided.

    Any number and shape of representations, any clip length; every frame and bin is covered.

    Arguments
    ---------
    channels : list of int
        Channels of the representations, finest first.
    n_classes : int
        Number of classes of the classifier.
    hidden : int
        Channels of the pyramid.
    detail : int
        Channels at the classifier's resolution.
    head : int
        Width of the last convolution, which is at that resolution: odd.
    gain : float
        What the last convolution gives is multiplied by it. Adam changes a weight by about the
        learning rate a step, so without it the mask takes long to saturate. Kept with
        the weights.
    conditioned : bool
        Explain any target class; its vector takes the place of the summary. Off, as in the paper.
        Trained on the classifier's own decisions alone, such a decoder learns to find that class
        in any input; ``lmac.core.losses.conditional_loss`` is for this one.
    reads_input : bool
        Read X, too: the features at the finest level, and what stands out in a band.
    condition_size : int, optional
        Size of the vectors that tell what to explain, of ``ExplainedClassifier.condition``; by
        default a place for each class and one for how probable it is.
    """

    def __init__(
        self,
        channels,
        n_classes,
        hidden=32,
        detail=8,
        head=1,
        gain=4.0,
        conditioned=False,
        reads_input=True,
        condition_size=None,
    ):
        super().__init__()
        self.settings = {
            "hidden": hidden,
            "detail": detail,
            "head": head,
            "gain": gain,
            "conditioned": conditioned,
            "reads_input": reads_input,
        }
        if condition_size is not None:
            self.settings["condition_size"] = condition_size
        if not channels:
            raise ValueError(
                "TopDownDecoder reads the classifier's representations, and this one gives none: "
                "name some of its layers in the YAML (layers), or add "
                "--decoder_yaml=hparams/decoders/encoder.yaml."
            )
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, hidden, 1, bias=False), nn.BatchNorm2d(hidden))
            for c in channels
        )
        self.conditioned = conditioned
        self.condition_size = condition_size or n_classes + 1
        self.summary = None if conditioned else Summary(channels[-1], hidden)
        size = self.condition_size if conditioned else hidden
        self.conditions = nn.ModuleList(Condition(size, hidden) for _ in channels)
        self.smooth = nn.ModuleList(ConvNorm(hidden, hidden) for _ in channels)
        self.reduce = nn.Conv2d(hidden, detail, 1)
        self.feature_norm = nn.BatchNorm2d(1) if reads_input else None
        self.detail = ConvNorm(detail + reads_input, detail)
        self.head = nn.Conv2d(detail, 1 + reads_input, head, padding=head // 2)
        nn.init.zeros_(self.head.bias)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
        self.register_buffer("gain", torch.tensor(float(gain)))
        self.to(memory_format=torch.channels_last)

    def forward(self, representations, X, target, domain):
        """Mask logits [B, T, F], the shape of ``X``."""
        if len(representations) != len(self.laterals):
            raise ValueError(
                f"The decoder was built for {len(self.laterals)} representations, the "
                f"classifier gives {len(representations)}: is this decoder of another classifier?"
            )
        vector = self._vector(target) if self.conditioned else self.summary(representations[-1])
        level = None
        for i in reversed(range(len(representations))):
            h = conv_norm_relu(representations[i], *self.laterals[i])
            scale, shift = self.conditions[i](vector)
            # The shift is added where there are fewer cells.
            level = shift if level is None else F.interpolate(level + shift, size=h.shape[2:])
            level = self.smooth[i](torch.addcmul(level, h, scale))
        features = domain.picture(X).unsqueeze(1)  # without reads_input for its shape only
        level = F.interpolate(
            self.reduce(level), size=features.shape[2:], mode="bilinear", align_corners=False
        )
        if self.feature_norm is None:
            return domain.spread(self.gain * self.head(self.detail(level))).squeeze(1)
        # As [B, T, F, 1] turned round: else cat would leave the channels-last layout.
        features = self.feature_norm(features).squeeze(1).unsqueeze(3).permute(0, 3, 1, 2)
        level = self.detail(torch.cat([level, features], dim=1))
        parts = torch.cat([self.gain * self.head(level), domain.gather(X).unsqueeze(1)], 1)
        keep, contrast, mean = domain.spread(parts).unbind(1)
        return torch.addcmul(keep, contrast, X - mean)

    def _vector(self, target):
        """What is explained as vectors [B, D]. A class that comes without them is one-hot, and
        its probability as if it were on the threshold (0)."""
        if target.dim() == 2:
            return target
        return F.one_hot(target, self.condition_size).to(self.reduce.weight.dtype)


class EncoderDecoder(Decoder):
    """Our decoder behind a small encoder of the spectrogram, both trained together.

    For classifiers without spatial representations, which are not looked at. The mask is still
    trained to explain the classifier's decisions, but it learns nothing of how they came about.

    Arguments
    ---------
    channels : list of int
        Not used.
    n_classes : int
        Number of classes of the classifier.
    hidden, detail, head, gain, conditioned, condition_size
        As in :class:`TopDownDecoder`, whose summary is here of the encoder's coarsest level.
    reads_input : bool
        ValueError when False: there would be nothing left to read.
    depth : int
        Levels of the encoder, each of half the resolution; the first has ``hidden / 2`` channels,
        the others ``hidden``.
    """

    def __init__(
        self,
        channels,
        n_classes,
        hidden=32,
        detail=8,
        head=1,
        gain=4.0,
        conditioned=False,
        depth=4,
        reads_input=True,
        condition_size=None,
    ):
        super().__init__()
        if not reads_input:
            raise ValueError(
                "EncoderDecoder reads nothing but X, so decoder_reads_input: False leaves it "
                "nothing: use TopDownDecoder (--decoder_yaml=hparams/decoders/topdown.yaml)."
            )
        widths = [1, max(1, hidden // 2), *[hidden] * (depth - 1)]
        self.norm = nn.BatchNorm2d(1)
        self.levels = nn.ModuleList(
            nn.Sequential(ConvNorm(n_in, n_out), nn.AvgPool2d(2, ceil_mode=True))
            for n_in, n_out in zip(widths[:-1], widths[1:], strict=True)
        )
        self.conditioned = conditioned
        self.decoder = TopDownDecoder(
            widths[1:], n_classes, hidden, detail, head, gain, conditioned,
            condition_size=condition_size,
        )  # fmt: skip
        self.settings = {**self.decoder.settings, "depth": depth}

    @property
    def conditions(self):
        """What scales and shifts the pyramid's levels."""
        return self.decoder.conditions

    def forward(self, representations, X, target, domain):
        """Mask logits [B, T, F], the shape of ``X``."""
        level, levels = self.norm(domain.picture(X).unsqueeze(1)), []
        for layer in self.levels:
            level = layer(level)
            levels.append(level)
        return self.decoder(levels, X, target, domain)


class PSIDecoder(Decoder):
    """The published decoder (SpeechBrain's ``CNN14PSI_stft`` and ``CNN14PSI``) for CNN14.

    Its state dict is SpeechBrain's. It reads the four coarsest representations; its output is
    cropped to X, or padded with its last frame and bin, since it covers neither all lengths
    nor all frames. 237 M parameters at CNN14's standard width.

    Arguments
    ---------
    channels : list of int
        Channels of the representations, finest first; the last must be CNN14's embedding.
    n_classes, condition_size : int
        Not used: this decoder is not given the class.
    domain : str
        ``"stft"`` or ``"mel"``.
    """

    def __init__(self, channels, n_classes=None, domain="stft", condition_size=None):
        super().__init__()
        dim = channels[-1]
        wanted = [dim, dim // 2, dim // 4, dim // 8]
        if list(channels[:-5:-1]) != wanted:
            raise ValueError(
                "PSIDecoder follows CNN14: its four coarsest representations must have "
                f"{wanted} channels, got {list(channels[:-5:-1])}. Use TopDownDecoder."
            )
        self.psi = CNN14PSI_stft(dim, 1) if domain == "stft" else CNN14PSI(dim)

    def forward(self, representations, X, target, domain):
        """Mask logits [B, T, F]; ValueError for a clip length that it cannot take."""
        try:
            logits = self.psi(representations[:-5:-1]).squeeze(1)
        except RuntimeError as error:
            raise ValueError(
                f"The published decoder cannot take clips of {X.shape[1]} frames (its branches "
                "differ in length): use another length or TopDownDecoder."
            ) from error
        logits = logits[:, : X.shape[1], : X.shape[2]]
        missing = (X.shape[2] - logits.shape[2], X.shape[1] - logits.shape[1])
        return F.pad(logits, (0, missing[0], 0, missing[1]), mode="replicate")

    def state_dict(self, *args, **kwargs):
        """SpeechBrain's own keys, so that published ``psi_model.ckpt`` files load unchanged."""
        return self.psi.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict, strict=True):
        """Load SpeechBrain's keys."""
        return self.psi.load_state_dict(state_dict, strict)
