"""One explanation: its fields, and the files that are written of it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from lmac.core.domain import Domain
from lmac.explain.audio import write_wavs
from lmac.explain.figures import explanation_figure, questions_figure, write_mask
from lmac.explain.notebook import notebook_view
from lmac.explain.recording import top_classes
from lmac.io.files import write_text
from lmac.io.names import safe_name, shown


@dataclass(frozen=True)
class Window:
    """One window: what the classifier decided there, and what the explanation does to it.

    ``level_db`` is its level over that of the loudest window; one that is next to silent does not
    vote: it counts neither for the recording's decision nor for its probabilities. ``p``,
    ``p_in`` and ``p_out`` are probabilities of ``explained_class`` for the window, for the written
    (cross-faded) mask and for its complement; ``p_in_audio`` is ``p_in`` after synthesis and a
    second analysis, None where the domain cannot be listened to.
    """

    start_s: float
    end_s: float
    level_db: float
    votes: bool
    decision: str
    p_decision: float
    explained_class: str
    p: float
    p_in: float
    p_out: float
    p_in_audio: float | None


@dataclass(frozen=True)
class Explanation:
    """Why a classifier decided as it did, for one recording and one method.

    Attributes
    ----------
    source : str
        The file, or what else was explained.
    method : str
    labels : list of str
        All class names.
    domain : Domain
        What the mask multiplies; ``domain.front_end.sample_rate`` in Hz is the rate of all audio.
    gain : float
        From the recording to ``wav``, whose peak is 1.
    wav, explanation, removed : Tensor [L]
        Input, and the audio of ``M * X`` and ``(1 - M) * X`` (None where the domain has none).
    X, mask : Tensor [T, F]
        Spectrogram of the whole recording, and the mask in [0, 1].
    probabilities : Tensor [K]
        Of every class, float64, mean over the windows that vote.
    asked_class : str or None
        The class that was asked for; None: every window explains its own decision.
    explained_class : str or None
        None when windows of different decisions explain different classes.
    windows : list of Window
    warning : str or None
        What has to be known of the recording, in one sentence.
    """

    source: str
    method: str
    labels: list
    domain: Domain
    gain: float
    wav: Tensor
    explanation: Tensor | None
    removed: Tensor | None
    X: Tensor
    mask: Tensor
    probabilities: Tensor
    asked_class: str | None
    explained_class: str | None
    windows: list
    warning: str | None = None

    @property
    def sample_rate(self):
        return self.domain.front_end.sample_rate

    @property
    def folder(self):
        """Name of its folder among the explanations of its recording."""
        asked = "" if self.asked_class is None else f", asked {self.asked_class}"
        return safe_name(self.method + asked)

    @property
    def decision(self):
        """The class of the largest mean probability."""
        return self.labels[int(self.probabilities.argmax())]

    @property
    def p(self):
        """Probability of the explained class, mean over the windows that vote."""
        return self._mean("p")

    @property
    def p_in(self):
        """The same for the explanation, ``M * X``."""
        return self._mean("p_in")

    @property
    def p_out(self):
        """The same for what was removed, ``(1 - M) * X``."""
        return self._mean("p_out")

    @property
    def p_in_audio(self):
        """``p_in`` of the audio as it is heard: synthesised and analysed again."""
        return self._mean("p_in_audio") if self.domain.listenable else None

    def _mean(self, name):
        values = [getattr(w, name) for w in self.windows if w.votes]
        return sum(values) / len(values)

    def top_classes(self, k=5):
        """The ``k`` most probable classes as (name, probability), best first."""
        return top_classes(self.labels, self.probabilities, k)

    def __str__(self):
        of = self.explained_class or "each window's decision"
        # The file's own probability: windows that decide otherwise say nothing of it.
        decision = f"decision {self.decision}, p = {self.probabilities.max():.3f}"
        on_average = "" if self.explained_class else ", mean over the windows"
        return (
            f"{shown(Path(self.source).name)}: {self.method} for {of} ({decision})\n"
            f"{self.explained_class or 'own decisions'}: p = {self.p:.3f}, p_in = {self.p_in:.3f}, "
            f"p_out = {self.p_out:.3f}{on_average}"
        )

    def __repr__(self):
        of = self.explained_class or "each window's decision"
        return (
            f"<{shown(Path(self.source).name)}: {self.method} for {of}, p = {self.p:.3f}, "
            f"p_in = {self.p_in:.3f}, p_out = {self.p_out:.3f}>"
        )

    def _repr_html_(self):
        return notebook_view(self)

    @property
    def sentence(self):
        """What the explanation does to the classifier, in words."""
        if self.explained_class is None:
            return (
                f"{self.method} for each window's decision: the mean over the windows is "
                f"p = {self.p:.3f} for the input, p_in = {self.p_in:.3f} for the explanation "
                f"alone and p_out = {self.p_out:.3f} for what was removed."
            )
        return (
            f"{self.method} for {self.explained_class}: the classifier gives it p = {self.p:.3f} "
            f"for the input, p_in = {self.p_in:.3f} for the explanation alone and "
            f"p_out = {self.p_out:.3f} for what was removed."
        )

    def save(self, folder):
        """Write WAVs (one common gain, never clipped), the mask, ``explanation.png`` and ``.json``.

        ``mask.png`` has no axes; pages lay it over the spectrogram. Returns the files' names.
        """
        return [*self.write_sounds(folder), self.draw(folder)]

    def draw(self, folder):
        """Write ``explanation.png``, which takes longer than all the rest; returns its name."""
        name = "explanation.png"
        explanation_figure(self.X, self.mask, self.domain, str(self), Path(folder) / name)
        return name

    def write_sounds(self, folder):
        """What :meth:`save` does, but for the figure."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        written = None
        if self.domain.listenable:
            waves = {"input": self.wav, "explanation": self.explanation, "removed": self.removed}
            written = self.gain * write_wavs(waves, folder, self.sample_rate)
        write_mask(self.mask, folder / "mask.png")
        content = {
            "source": shown(self.source),
            "duration_s": len(self.wav) / self.sample_rate,
            "sample_rate": self.sample_rate,
            "method": self.method,
            "domain": self.domain.name,
            "decision": self.decision,
            "top_classes": [{"class": c, "p": p} for c, p in self.top_classes()],
            "asked_class": self.asked_class,
            "explained_class": self.explained_class,
            "p": self.p,
            "p_in": self.p_in,
            "p_out": self.p_out,
            "p_in_audio": self.p_in_audio,
            "gain": written,  # from the file's samples to all three WAVs
            "warning": self.warning,
            "windows": [asdict(w) for w in self.windows],
        }
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        write_text(text, folder / "explanation.json")
        sounds = [f"{name}.wav" for name in waves] if self.domain.listenable else []
        return [*sounds, "mask.png", "explanation.json"]


def draw_questions(explanations, path):
    """What one method keeps of one recording for several classes, as a PNG at ``path``.

    Arguments
    ---------
    explanations : list of Explanation
        Of one recording and method.
    path : path
    """
    first = explanations[0]
    masks = {
        f"{e.explained_class or 'own decisions'}: p = {e.p:.3f}, p_in = {e.p_in:.3f}, "
        f"p_out = {e.p_out:.3f}": e.mask
        for e in explanations
    }
    title = f"{Path(first.source).name}: {first.method} (decision {first.decision})"
    questions_figure(first.X, masks, first.domain, title, path)
