"""Explaining clips and scoring the masks: the one way for everything that does it.

Evaluation, the explanation of a file, weight randomisation and the check of written sounds all
come through here::

    clips = analyse_clips(explained, wav)                    X, phase, f(X)
    mask = explain(explained, interpreter, clips, target)    M
    outcome = judge(explained, clips, target, mask)          f(M X), f((1 - M) X), sound
    scores = metrics.compute(outcome)
"""

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lmac.core.outputs import probabilities as of_logits
from metrics import Outcome, compute


def get_interpreters(available, names, explained):
    """Build the interpreters called ``names``, and those whose masks some of them take the area of.

    Arguments
    ---------
    available : dict
        Name to factory, called with ``explained``: the ``interpreters`` of a YAML.
    names : list of str
        Which of them; ValueError with the valid names for an unknown one.
    """
    unknown = [n for n in names if n not in available]
    if unknown:
        raise ValueError(
            f"methods: unknown interpreter {', '.join(map(repr, unknown))}; "
            f"expected some of {', '.join(available)}."
        )
    built = {name: available[name](explained) for name in names}
    for name, interpreter in built.items():
        other = interpreter.area
        if other == "own" or not isinstance(other, str):
            continue
        if other not in available or other == name:
            raise ValueError(
                f"{name}: area {other!r} is no other method; expected own, a share between 0 and "
                f"1, or one of {', '.join(n for n in available if n != name)}."
            )
        interpreter.take_area_of(built.get(other) or available[other](explained))
    return built


@dataclass(frozen=True)
class Answer:
    """What a classifier answered for the X of clips, how long that took, and which one it was."""

    explained: object
    logits: Tensor
    representations: list
    seconds: float

    @classmethod
    def of(cls, explained, X, phase):
        """Asked here; ``phase`` where the domain needs one."""
        start = time.perf_counter()
        logits, representations = explained(X, phase)
        return cls(explained, logits, representations, time.perf_counter() - start)


@dataclass(frozen=True)
class Clips:
    """Clips of one length, analysed once for all methods.

    Attributes
    ----------
    X : Tensor [B, T, F]
    phase : lmac.core.domain.Phase or None
        None where nothing needs it: on the direct path, without sound.
    probs : Tensor [B, K] or None
        f(X), float64.
    clean_X : Tensor [B, T, F] or None
        The X of the target's own part of a mixture, where it is known.
    clean_audio : Tensor [B, L] or None
        That part as sound.
    batch_size : int or None
        How many at a time the classifier reads; None for all.
    progress : callable or None
        Called with the number of clips of every batch that was read.
    answer : Answer or None
        The classifier's for X, where that is one batch.
    """

    X: Tensor
    phase: object = None
    probs: Tensor | None = None
    clean_X: Tensor | None = None
    clean_audio: Tensor | None = None
    batch_size: int | None = None
    progress: object = None
    answer: Answer | None = None

    @property
    def decision(self):
        """The classifier's own decisions [B]."""
        return self.probs.argmax(1)

    def batches(self):
        """Slices of at most ``batch_size`` clips; one is read when the next is asked for."""
        size = self.batch_size or len(self.X)
        for i in range(0, len(self.X), size):
            yield slice(i, i + size)
            if self.progress is not None:
                self.progress(min(size, len(self.X) - i))


@torch.no_grad()
def analyse_clips(explained, wav, clean_audio=None, batch_size=None, progress=None):
    """:class:`Clips` of waveforms [B, L], with f(X) in float64.

    Arguments
    ---------
    explained : ExplainedClassifier
    wav : Tensor [B, L]
        On the device of ``explained``.
    clean_audio : Tensor [B, L], optional
        The target's own part.
    batch_size : int, optional
    progress : callable, optional
    """
    X, phase = explained.domain.analyse(wav)
    clean_X = None if clean_audio is None else explained.domain.analyse(clean_audio)[0]
    clips = Clips(X, phase, None, clean_X, clean_audio, batch_size, progress)
    if batch_size is not None and batch_size < len(X):
        return replace(clips, probs=probabilities(explained, clips, X))
    for _ in clips.batches():  # the one
        answer = Answer.of(explained, X, phase if explained.domain.needs_phase else None)
    probs = of_logits(answer.logits.double(), explained.outputs)
    return replace(clips, probs=probs, answer=answer)


def probabilities(explained, clips, X):
    """f of ``X``, which are those of ``clips`` or masked, [B, K] in float64.

    Always in the same batches, so that a mask of ones changes no bit.
    """
    phase = clips.phase if explained.domain.needs_phase else None
    return torch.cat(
        [
            explained.probabilities(X[part], None if phase is None else phase[part])
            for part in clips.batches()
        ]
    )


def probabilities_of_sound(explained, wav, batch_size=None, progress=None):
    """f of sounds [B, L] that are analysed like any recording, [B, K] in float64."""
    return analyse_clips(explained, wav, batch_size=batch_size, progress=progress).probs


@torch.no_grad()
def classify(explained, wav):
    """f of recordings [B, L] as the classifier reads any, without X or a mask: [B, K], float64."""
    logits, _ = explained.classifier(explained.domain.features(wav))
    return of_logits(logits.double(), explained.outputs)


def answer_for(interpreter, clips):
    """The :class:`Answer` that ``interpreter`` need not ask for once more, or None.

    Not that of another classifier: a weight randomisation explains the same clips by two.
    """
    answer = clips.answer if interpreter.takes_answer else None
    return answer if answer is not None and answer.explained is interpreter.explained else None


def explain(explained, interpreter, clips, target, seed):
    """Masks [B, T, F] of ``interpreter`` for the classes ``target`` [B].

    The method's random numbers start anew from ``seed``. Raises ValueError for a method that
    needs the target's clean part where it is not known.
    """
    if interpreter.needs_clean and clips.clean_X is None:
        raise ValueError(
            f"{type(interpreter).__name__} needs the target's own part of a mixture, which a plain "
            "recording does not have: leave the method out, or evaluate a scenario of mixtures."
        )
    interpreter.reset(seed)
    masks = []
    for part in clips.batches():
        more = {}
        if explained.domain.needs_phase:
            more["phase"] = clips.phase[part]
        if interpreter.needs_clean:
            more["clean_X"] = clips.clean_X[part]
        if (answer := answer_for(interpreter, clips)) is not None:
            more["answer"] = answer.logits, answer.representations
        # All of them as they are: of this very tensor the features are known.
        X = clips.X if part.stop - part.start >= len(clips.X) else clips.X[part]
        masks.append(interpreter.explain(X, target[part], **more))
    return torch.cat(masks).to(clips.X.dtype)  # with --eval_precision=bf16, too


@torch.no_grad()
def judge(explained, clips, target, mask, audio=None):
    """What ``mask`` [B, T, F] does to the classifier: a :class:`metrics.Outcome`.

    Arguments
    ---------
    explained : ExplainedClassifier
    clips : Clips
    target : Tensor [B]
        The classes explained.
    mask : Tensor [B, T, F]
    audio : Tensor [B, L], optional
        The explanation's sound, where it is not that of each clip alone (windows of a long
        recording). Otherwise it is synthesised here, in a domain that has sound.
    """
    domain = explained.domain
    masked, removed = mask * clips.X, (1 - mask) * clips.X
    if audio is None and domain.listenable:
        audio = domain.synthesise(masked, clips.phase)
    resynthesised = None
    if audio is not None:
        resynthesised = probabilities_of_sound(explained, audio, clips.batch_size, clips.progress)
    return Outcome(
        clips.probs,
        probabilities(explained, clips, masked),
        probabilities(explained, clips, removed),
        target,
        mask,
        masked=masked,
        clean_X=clips.clean_X,
        audio=audio,
        clean_audio=clips.clean_audio,
        probs_resynthesised=resynthesised,
        threshold=explained.threshold,
    )


@dataclass(frozen=True)
class Scored:
    """A batch of masks, what they did, every metric by name ([B], float64) and seconds per clip."""

    outcome: Outcome
    scores: dict
    seconds: float

    @property
    def mask(self):
        return self.outcome.mask


def explain_and_score(explained, interpreter, clips, target, seed):
    """Masks of one method for the classes ``target`` [B], and their scores: :class:`Scored`."""
    start = time.perf_counter()
    mask = explain(explained, interpreter, clips, target, seed)
    seconds = time.perf_counter() - start
    if (answer := answer_for(interpreter, clips)) is not None:
        seconds += answer.seconds  # else it would pass for faster than methods that ask anew
    outcome = judge(explained, clips, target, mask)
    return Scored(outcome, compute(outcome), seconds / len(clips.X))
