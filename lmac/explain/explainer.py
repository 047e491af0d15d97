"""Explain any audio file, from Python in a few lines.

from lmac.explain.explainer import Explainer

explainer = Explainer.from_hparams("hparams/explain.yaml", overrides={...})
result = explainer.explain_file("dog.wav", method="L-MAC")
result.write("results/dog")
print(result.top_classes(), result.p, result.p_in, result.p_out)
"""

import torch

from data_prep.audio import peak_normalise, read_audio
from lmac.checkpoints import explained_classifier, labels_of
from lmac.core.scoring import analyse_clips, explain, get_interpreters, judge
from lmac.core.windows import cut, cut_frames, frame_starts, stitch
from lmac.explain.explanation import Explanation, Window
from lmac.explain.recording import Recording, levels
from lmac.settings.load import load

# A recording this much longer than a window is still explained in one: classifiers take any
# length, and two windows would be nearly the same.
TOLERANCE = 1.1


class Explainer:
    """A classifier and its interpreters, for recordings of any length.

    Recordings longer than ``window_s`` are explained window by window, and the masks cross-faded
    on the STFT grid of the whole recording (``lmac.core.windows``). Everything stays in memory:
    about 0.4 GB for each minute at 16 kHz.

    Arguments
    ---------
    explained : ExplainedClassifier
    interpreters : dict
        Name to factory, as in ``hparams/interpreters.yaml``; built when first asked for.
    labels : list of str
        Class names in the order of the classifier's outputs.
    window_s, overlap_s : float
        Seconds; an overlap of at most half a window. A recording up to a tenth longer than a
        window is explained in one.
    min_length_s : float
        Shorter recordings are zero-padded to it for the analysis; evaluations pad to the length
        of the training clips. What the classifier needs at least is padded in any case.
    batch_size : int
        Windows at a time.
    seed : int
        Of methods with random numbers.
    """

    def __init__(
        self, explained, interpreters, labels, window_s=5.0, overlap_s=1.0, min_length_s=0.0,
        batch_size=8, seed=1234,
    ):  # fmt: skip
        n_classes = explained.output_sizes()[1]
        if len(labels) != n_classes:
            raise ValueError(
                f"label_encoder.txt names {len(labels)} classes, but the classifier has "
                f"{n_classes}: leave out_n_neurons out, or give the file of this classifier."
            )
        front_end = explained.domain.front_end
        self.hop, self.sample_rate = front_end.hop_samples, front_end.sample_rate
        self.least = (explained.classifier.min_frames - 1) * self.hop
        self.window = round(window_s * self.sample_rate)
        self.overlap = round(overlap_s * self.sample_rate)
        if self.window < self.least:
            raise ValueError(
                f"window_s is {window_s}, but this classifier needs at least "
                f"{self.least / self.sample_rate:.2f} s."
            )
        longest = explained.domain.longest_input
        if longest is not None and self.window > longest:
            raise ValueError(
                f"window_s is {window_s}, but this classifier takes "
                f"{longest / self.sample_rate:.2f} s at most."
            )
        if not 0 <= self.overlap <= self.window // 2:
            raise ValueError(
                f"overlap_s is {overlap_s}: expected 0 to half of window_s, {window_s / 2}."
            )
        self.least = max(self.least, round(min_length_s * self.sample_rate))
        self.explained = explained
        self.available = interpreters
        self.interpreters = {}
        self.labels = labels
        self.batch_size = batch_size
        self.seed = seed

    @classmethod
    def from_hparams(cls, source, overrides=None, device="cpu"):
        """The explainer of a YAML such as ``hparams/explain.yaml``.

        Arguments
        ---------
        source : path or dict
            The YAML file, or hyperparameters that are loaded already.
        overrides : dict
            Keys of the YAML and their values; ``classifier_checkpoint`` is needed, and for L-MAC
            ``lmac_checkpoint``.
        device : str
        """
        hparams = source if isinstance(source, dict) else load(source, overrides)[0]
        keys = ("window_s", "overlap_s", "min_length_s", "batch_size", "seed")
        explained = explained_classifier(hparams).to(device)
        return cls(
            explained,
            hparams["interpreters"],
            labels_of(explained.classifier, hparams["classifier_checkpoint"]),
            **{k: hparams[k] for k in keys},
        )

    def explain_file(self, path, method="L-MAC", target_class=None):
        """Explain an audio file: any format soundfile reads, any rate, channels and length.

        Arguments as in :meth:`explain`; raises ValueError also for a file that cannot be read.
        For several methods or classes, :meth:`read` it once.
        """
        self.check(method, target_class)
        return self.explain_recording(self.read(path), method, target_class)

    def explain(self, wav, method="L-MAC", target_class=None, source="waveform"):
        """Explain a waveform [L] at the sample rate of the classifier.

        Arguments
        ---------
        wav : Tensor [L]
            Peak-normalised here, as in training and evaluation.
        method : str
            Name of an interpreter.
        target_class : str, optional
            Class to explain in all windows; otherwise each window explains its own decision, for
            that is what the classifier decides and what decoders are trained to explain.
        source : str
            Kept in the result.

        Returns
        -------
        Explanation

        Raises
        ------
        ValueError
            For silence, an unknown method or class, or a method that cannot be asked for one.
        """
        self.check(method, target_class)
        return self.explain_recording(self.analyse(wav, source), method, target_class)

    def read(self, path, progress=None, source=None):
        """An audio file, read and analysed once for :meth:`explain_recording`.

        Arguments as in :meth:`analyse`, ``source`` being the path where it is not given; raises
        ValueError for silence and for a file that cannot be read.
        """
        wav = torch.from_numpy(read_audio(path, self.sample_rate))
        return self.analyse(wav, str(path) if source is None else source, progress)

    def analyse(self, wav, source="waveform", progress=None):
        """What the classifier hears in a waveform [L]: a :class:`Recording`.

        Arguments
        ---------
        wav : Tensor [L]
            At the sample rate of the classifier; peak-normalised here.
        source : str
            Kept in the result.
        progress : callable, optional
            Called with a number of windows whenever these were read once more: once by the
            analysis, and ``passes`` times by each :meth:`explain_recording`.

        Raises ValueError for silence.
        """
        peak = float(wav.abs().max())
        if peak == 0:
            raise ValueError(f"{source} is silent: there is nothing to explain.")
        domain = self.explained.domain
        window, starts = self._window_starts(len(wav))
        total = starts[-1] * self.hop + window
        padded = torch.nn.functional.pad(peak_normalise(wav), (0, total - len(wav)))
        padded = padded.to(next(self.explained.buffers()).device)
        windows = cut(padded, starts, window, self.hop)
        X, phase = domain.analyse(padded[None])
        return Recording(
            source=source,
            labels=self.labels,
            gain=1 / peak,
            wav=padded,
            n_samples=len(wav),
            starts=starts,
            window=window,
            hop=self.hop,
            sample_rate=self.sample_rate,
            clips=analyse_clips(
                self.explained, windows, batch_size=self.batch_size, progress=progress
            ),
            X=X[0],
            phase=phase,
            levels_db=levels(windows, starts, self.hop, len(wav)),
        )

    def _window_starts(self, n_samples):
        """Samples of a window, and the first frame of each window of a recording."""
        window, longest = max(self.window, self.least), self.explained.domain.longest_input
        if n_samples <= TOLERANCE * window and n_samples <= (longest or n_samples):
            window = max(n_samples, self.least)
        return window, frame_starts(n_samples, window, self.overlap, self.hop)

    def n_windows(self, seconds):
        """In how many windows a recording of so many seconds is explained."""
        return len(self._window_starts(round(seconds * self.sample_rate))[1])

    def explain_recording(self, recording, method="L-MAC", target_class=None):
        """Explain a :class:`Recording` of :meth:`read` or :meth:`analyse`.

        Arguments, result and errors as in :meth:`explain`.
        """
        interpreter, chosen = self.check(method, target_class)
        clips, target = recording.clips, self._targets(recording, chosen)
        mask = explain(self.explained, interpreter, clips, target, self.seed)
        return self._scored(recording, method, stitch(mask, recording.starts), target, target_class)

    def score_mask(self, recording, mask, method="own mask", target_class=None):
        """What a mask [T, F] of your own does to the classifier: an Explanation.

        Arguments
        ---------
        recording : Recording
        mask : Tensor [T, F]
            In [0, 1], with the shape of ``recording.X``; frames that are missing at its end are 0.
        method : str
            What it is called in the result.
        target_class : str, optional
            Whose probability is scored; by default each window's own decision. ValueError for an
            unknown class, and for a mask of another shape.
        """
        n_frames, n_bins = recording.X.shape
        if mask.dim() != 2 or mask.shape[1] != n_bins or mask.shape[0] > n_frames:
            raise ValueError(
                f"The mask has the shape {tuple(mask.shape)}: expected at most {n_frames} frames "
                f"of {n_bins} bins."
            )
        mask = mask.to(recording.X).clamp(0, 1)
        mask = torch.nn.functional.pad(mask, (0, 0, 0, n_frames - mask.shape[0]))
        chosen = None if target_class is None else self.number_of(target_class)
        target = self._targets(recording, chosen)
        return self._scored(recording, method, mask, target, target_class)

    def _targets(self, recording, chosen):
        """The class [N] that is explained in each window: ``chosen``, or its decision."""
        decision = recording.clips.decision
        return decision if chosen is None else torch.full_like(decision, chosen)

    def _scored(self, recording, method, mask, target, target_class):
        """The Explanation of a mask [T, F] of the whole recording."""
        domain, clips, starts = self.explained.domain, recording.clips, recording.starts
        # What is scored is what is written: the cross-faded mask, and the sound of the whole.
        whole, n_samples = recording.X[None], recording.n_samples
        explanation = removed = audio = None
        if domain.listenable:
            parts = [domain.synthesise(m * whole, recording.phase)[0] for m in (mask, 1 - mask)]
            audio = cut(parts[0], starts, recording.window, self.hop)
            explanation, removed = (part[:n_samples].cpu() for part in parts)
        M = cut_frames(mask, starts, clips.X.shape[1])
        outcome = judge(self.explained, clips, target, M, audio)

        n_frames = n_samples // self.hop + 1
        return Explanation(
            source=recording.source,
            method=method,
            labels=self.labels,
            domain=domain,
            gain=recording.gain,
            wav=recording.wav[:n_samples].cpu(),
            explanation=explanation,
            removed=removed,
            X=recording.X[:n_frames].cpu(),
            mask=mask[:n_frames].cpu(),
            probabilities=recording.probabilities,
            asked_class=target_class,
            explained_class=self.labels[target[0]] if (target == target[0]).all() else None,
            windows=self._windows(recording, outcome),
        )

    @property
    def zero_shot(self):
        """Whether the classes are prompts."""
        return self.explained.classifier.prompt_vectors is not None

    @property
    def passes(self):
        """How often windows are read for one explanation: the mask, and what is scored of it."""
        return 4 if self.explained.domain.listenable else 3

    def check(self, method, target_class=None):
        """The interpreter called ``method``, and the number of ``target_class`` (None for None).

        Raises ValueError for an unknown method or class, and for a method that cannot be asked.
        """
        if method not in self.interpreters:
            self.interpreters |= get_interpreters(self.available, [method], self.explained)
        interpreter = self.interpreters[method]
        if target_class is None:
            return interpreter, None
        if not interpreter.any_class:
            raise ValueError(
                f"target_class: this {method} explains the classifier's own decision only: leave "
                "target_class out, use another method, or a decoder with decoder_conditioned."
            )
        return interpreter, self.number_of(target_class)

    def number_of(self, target_class):
        """The number of a class; ValueError for an unknown one."""
        if target_class not in self.labels:
            raise ValueError(
                f"target_class: unknown class {target_class!r}; expected one of "
                f"{', '.join(self.labels)}."
            )
        return self.labels.index(target_class)

    def _windows(self, recording, outcome):
        resynthesised = outcome.probs_resynthesised
        rows = []
        for i, (start_s, end_s) in enumerate(recording.spans()):
            decision, target = outcome.probs[i].argmax(), outcome.target[i]
            rows.append(
                Window(
                    start_s=start_s,
                    end_s=end_s,
                    level_db=float(recording.levels_db[i]),
                    votes=bool(recording.votes[i]),
                    decision=self.labels[decision],
                    p_decision=float(outcome.probs[i, decision]),
                    explained_class=self.labels[target],
                    p=float(outcome.p[i]),
                    p_in=float(outcome.p_in[i]),
                    p_out=float(outcome.p_out[i]),
                    p_in_audio=None if resynthesised is None else float(resynthesised[i, target]),
                )
            )
        return rows
