"""Long recordings: windows whose STFT frames are frames of the whole recording.

Windows start at multiples of the hop. A window's frames then coincide with those of the whole
recording, but for one at each end, which sees zeros where the recording goes on. Masks of
overlapping windows are cross-faded on the common grid, and the sound is made once, from the
whole grid: there is no place where two pieces of audio meet.
"""

import torch
import torch.nn.functional as F


def frame_starts(n_samples, window, overlap, hop):
    """First frame of every window.

    Arguments
    ---------
    n_samples, window, overlap, hop : int
        Samples. Windows overlap by ``overlap`` or up to one hop less; the last one is moved back
        until it ends with the recording (less than a hop after it), so that it is full of sound.

    Returns
    -------
    list of int
        ``[0]`` when one window covers all.
    """
    if n_samples <= window:
        return [0]
    # Rounded up, so that no window is left over when whole steps make the recording.
    step = min(-(-(window - overlap) // hop), window // hop)
    last = -(-(n_samples - window) // hop)
    return [*range(0, last, step), last]


def cut(wav, starts, window, hop):
    """Recording [L] to windows [N, window], padded with zeros behind its end."""
    wav = F.pad(wav, (0, max(0, starts[-1] * hop + window - len(wav))))
    return torch.stack([wav[s * hop : s * hop + window] for s in starts])


def cut_frames(grid, starts, n_frames):
    """Grid [T, F] to the frames of its windows, [N, n_frames, F]."""
    return torch.stack([grid[s : s + n_frames] for s in starts])


def fade_weights(n_windows, n_frames, overlap):
    """Weights [N, n_frames]: linear fades over ``overlap`` frames, none at the outer ends.

    Linear, since masks multiply the same input: two windows of the same mask leave it unchanged.
    """
    ramp = ((torch.arange(n_frames) + 1) / (overlap + 1)).clamp_max(1)
    weights = torch.ones(n_windows, n_frames)
    weights[1:] = ramp
    weights[:-1] = torch.minimum(weights[:-1], ramp.flip(0))
    return weights


def stitch(masks, starts):
    """Cross-fade windows' masks on the grid of the whole recording.

    Arguments
    ---------
    masks : Tensor [N, T', F]
    starts : list of int
        First frame of each window.

    Returns
    -------
    Tensor [T, F]
        Where one window is alone, its very mask.
    """
    n_frames = masks.shape[1]
    overlap = n_frames - (starts[1] - starts[0]) if len(starts) > 1 else 0
    weights = fade_weights(len(masks), n_frames, overlap).to(masks)
    total = masks.new_zeros(starts[-1] + n_frames, masks.shape[2])
    weight = masks.new_zeros(starts[-1] + n_frames, 1)
    for mask, fade, start in zip(masks, weights.unsqueeze(2), starts, strict=True):
        total[start : start + n_frames] += fade * mask
        weight[start : start + n_frames] += fade
    return total / weight
