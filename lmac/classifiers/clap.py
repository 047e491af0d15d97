"""CLAP of Hugging Face ``transformers`` (Elizalde et al., 2023; Wu et al., 2023): zero-shot.

The networks are theirs; the front end is rebuilt in torch, since theirs passes through NumPy and
lets no gradient through. A folder of ``save_pretrained`` with model, feature extractor and
tokenizer, or a name on the hub, such as ``laion/clap-htsat-unfused``.
"""

import torch
import torch.nn.functional as F
from torch import nn

from lmac.classifiers.base import EmbeddingModel
from lmac.classifiers.layers import LayerTap
from lmac.classifiers.prompts import (
    PromptHead,
    normalised_mean,
    phrasings,
    require_length,
)

INSTALL = "pip install transformers"


def _load(source, name):
    """What ``from_pretrained`` of ``transformers.<name>`` makes of ``source``."""
    try:
        import transformers
    except ImportError as error:
        raise ValueError(f"CLAP needs transformers: {INSTALL}") from error
    try:
        return getattr(transformers, name).from_pretrained(source)
    except OSError as error:
        raise ValueError(
            f"classifier_source: {source} is neither a folder of save_pretrained with model, "
            "feature extractor and tokenizer, nor a name on the hub that can be reached."
        ) from error


def _load_model(source):
    model = _load(source, "ClapModel")
    if model.config.audio_config.enable_fusion:
        raise ValueError(
            f"classifier_source: {source} fuses several crops of long recordings, which is not "
            "supported: use an unfused one, such as laion/clap-htsat-unfused."
        )
    return model


class ClapAudio(EmbeddingModel):
    """The audio side of CLAP: waveforms to embeddings of the common space.

    Arguments
    ---------
    source : path or str
        Folder, or a name on the hub. ValueError for what is neither, and for a fused model.

    Its representations are those of the transformer's stages, as maps over time and mel bands. The
    published models' bands are Slaney's and end at 14 kHz, and GradCAM takes the axis for HTK's up
    to half the sample rate: at the top its masks are off by up to a sixth of the axis.
    """

    reads = "waveform"
    complete = True
    frequency_axis = "mel"
    pad = False  # a clip is repeated until it fills the input

    def __init__(self, source):
        super().__init__()
        model = _load_model(source)
        extractor = _load(source, "ClapFeatureExtractor")
        self.features = ClapFeatures(extractor)
        self.model = model.audio_model
        self.projection = model.audio_projection
        self.sample_rate = extractor.sampling_rate
        self.input_length = extractor.nb_max_samples
        encoder = self.model.audio_encoder
        stages = [f"audio_encoder.layers.{i}" for i in range(len(encoder.layers))]
        self.tap = LayerTap(self.model, dict.fromkeys(stages, "BTC"), _Unfold(encoder.freq_ratio))

    def forward(self, wav):
        """Waveforms [B, L] to (embedding [B, 1, D], representations [B, C, T', F'])."""
        self.tap.grid.share = wav.shape[1] / self.input_length
        answer, representations = self.tap(self.model, self.features(wav))
        return self.projection(answer.pooler_output).unsqueeze(1), representations


class _Unfold:
    """Tokens of CLAP's image as maps over time and frequency, and back.

    The spectrogram is cut in ``chunks`` along time, and these are stacked along frequency to a
    square: its rows are (chunk, frequency), its columns the time within a chunk. ``share`` is that
    of the clip in the whole input: the maps end where the clip does.
    """

    def __init__(self, chunks):
        self.chunks = chunks
        self.share = 1.0

    def __call__(self, tokens):
        """Tokens [B, N, C] to (map [B, C, T, F], the way back)."""
        side = round(tokens.shape[1] ** 0.5)
        image = tokens.transpose(1, 2).unflatten(2, (self.chunks, side // self.chunks, side))
        maps = image.permute(0, 1, 2, 4, 3).flatten(2, 3)
        end = max(1, round(self.share * maps.shape[2]))
        rest = maps[:, :, end:]

        def back(m):
            m = torch.cat([m, rest], 2)
            image = m.unflatten(2, (self.chunks, side)).permute(0, 1, 2, 4, 3)
            return image.flatten(2).transpose(1, 2)

        return maps[:, :, :end], back


class ClapFeatures(nn.Module):
    """Log-mel spectrogram of ``ClapFeatureExtractor`` for unfused models, differentiable.

    Arguments
    ---------
    extractor : transformers.ClapFeatureExtractor
        ValueError for a way of padding that it does not know.
    """

    def __init__(self, extractor):
        super().__init__()
        if extractor.padding not in ("repeatpad", "repeat", "pad"):
            raise ValueError(
                f"The feature extractor pads by {extractor.padding!r}: expected repeatpad, repeat "
                "or pad."
            )
        self.padding = extractor.padding
        self.length = extractor.nb_max_samples
        self.n_fft, self.hop = extractor.fft_window_size, extractor.hop_length
        window = torch.hann_window(self.n_fft)
        filters = torch.as_tensor(extractor.mel_filters_slaney, dtype=torch.float32)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, wav):
        """Waveform [B, L], at most as long as the input, to features [B, 1, T, n_mels] in dB."""
        repeats = self.length // wav.shape[1]
        if self.padding == "repeat":
            wav = wav.repeat(1, repeats + 1)[:, : self.length]
        elif self.padding == "repeatpad":
            wav = wav.repeat(1, repeats)
        wav = F.pad(wav, (0, self.length - wav.shape[1]))
        spectrum = torch.stft(
            wav, self.n_fft, self.hop, window=self.window, pad_mode="reflect", return_complex=True
        )
        # Not abs(), whose gradient is not a number where a spectrum is 0.
        power = torch.view_as_real(spectrum).square().sum(-1).transpose(1, 2)
        return 10 * (power @ self.filters).clamp_min(1e-10).log10().unsqueeze(1)


class ClapHead(PromptHead):
    """The text side of CLAP: embeddings of the prompts, computed once.

    Arguments
    ---------
    source
        As of :class:`ClapAudio`.
    prompts
        As in :func:`lmac.io.prompts.read_prompts`; ValueError also for one that is longer
        than the text model takes.
    templates : list of str
        A prompt's embedding is the mean direction of what these make of it; ``{}`` is the prompt.
    """

    def __init__(self, source, prompts, templates=("{}",)):
        super().__init__(prompts)
        model, tokenizer = _load_model(source), _load(source, "AutoTokenizer")
        text = model.config.text_config
        # RoBERTa numbers positions from the padding token's number on.
        longest = min(
            tokenizer.model_max_length, text.max_position_embeddings - text.pad_token_id - 1
        )
        phrases = [phrasings(prompt, templates) for prompt in self.prompts.values()]
        require_length(tokenizer, sum(phrases, []), longest)
        tokens = tokenizer(sum(phrases, []), padding=True, return_tensors="pt")
        with torch.no_grad():
            vectors = model.eval().get_text_features(**tokens).pooler_output
        vectors = normalised_mean(vectors.unflatten(0, (len(phrases), -1)))
        self.register_buffer("texts", vectors, persistent=False)
        self.register_buffer("log_scale", model.logit_scale_a.detach().clone())

    @property
    def vectors(self):
        return self.texts

    @property
    def scale(self):
        return self.log_scale.exp()
