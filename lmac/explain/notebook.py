"""An explanation inside a notebook: players, spectrogram and mask, in HTML that needs no files."""

import base64
import io
import tempfile
from html import escape
from pathlib import Path

import soundfile

from lmac.explain.audio import common_gain

MOST_S = 60  # of each player: what is in a notebook stays in it


def notebook_view(explanation):
    """HTML of an :class:`lmac.explain.explanation.Explanation`; sounds at one common gain."""
    parts = [f"<p>{escape(explanation.sentence)}</p>"]
    if explanation.warning:
        parts.append(f"<p>{escape(explanation.warning)}</p>")
    if explanation.domain.listenable:
        parts += _players(explanation)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, explanation.draw(folder)).read_bytes()
    address = _data("image/png", picture)
    parts.append(f'<img alt="input, mask and explanation" style="max-width:100%" src="{address}">')
    return "\n".join(parts)


def _players(explanation):
    waves = {"input": explanation.wav, "kept": explanation.explanation,
             "removed": explanation.removed}  # fmt: skip
    rate = explanation.sample_rate
    gain = common_gain(waves)
    for name, wave in waves.items():
        content = io.BytesIO()
        samples = (gain * wave[: MOST_S * rate]).numpy()
        soundfile.write(content, samples, rate, format="WAV", subtype="PCM_16")
        cut = f" (the first {MOST_S} s)" if len(wave) > MOST_S * rate else ""
        address = _data("audio/wav", content.getvalue())
        yield f'<div>{name}{cut}<br><audio controls src="{address}"></audio></div>'


def _data(kind, content):
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
