"""A 1-D CNN on raw waveforms, after M5 (Dai et al., Very deep CNNs for raw waveforms, 2017)."""

from torch import nn

from lmac.classifiers.base import EmbeddingModel


class WaveBlock(nn.Sequential):
    """Convolution over time, batch norm and ReLU: [B, n_in, T] to [B, n_out, T / stride]."""

    def __init__(self, n_in, n_out, kernel, stride=1):
        super().__init__(
            nn.Conv1d(n_in, n_out, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm1d(n_out),
            nn.ReLU(),
        )


class Wave1d(EmbeddingModel):
    """Embedding model on waveforms: learned filters, then blocks that halve or quarter the rate.

    Arguments
    ---------
    width : int
        Channels of the first layer, the learned filterbank; doubled in the third and fifth block.
    stride : int
        Of the first layer, in samples.
    dropout : float
        Of the embedding, in training.
    sample_rate : int
        Hz.
    """

    reads = "waveform"

    def __init__(self, width=64, stride=16, dropout=0.2, sample_rate=16000):
        super().__init__()
        self.sample_rate = sample_rate
        self.emb_dim = 4 * width
        channels = [width, width, 2 * width, 2 * width, 4 * width]
        self.filters = WaveBlock(1, width, 8 * stride, stride)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                WaveBlock(channels[max(0, i - 1)], n, 3), WaveBlock(n, n, 3), nn.MaxPool1d(4)
            )
            for i, n in enumerate(channels[:4])
        )
        self.last = WaveBlock(channels[3], channels[4], 3)
        self.dropout = nn.Dropout(dropout)

    def forward(self, wav):
        """Waveform [B, L] to (embedding [B, 1, 4 width], maps [B, C, T', 1], finest first)."""
        x = self.filters(wav.unsqueeze(1))
        if x.shape[2] < 4 ** len(self.blocks):
            least = 4 ** len(self.blocks) * self.filters[0].stride[0]
            raise ValueError(
                f"Wave1d needs at least {least} samples, got {wav.shape[1]}: use longer clips."
            )
        representations = []
        for block in (*self.blocks, self.last):
            representations.append(block(x).unsqueeze(3))
            x = representations[-1].squeeze(3)
        embedding = x.amax(2) + x.mean(2)
        return self.dropout(embedding).unsqueeze(1), representations
