"""Explain any sound and any network, from Python in a few lines.

import lmac

explainer = lmac.Explainer(model, sample_rate=32000, labels=labels, layers=["features.14"])
explanation = explainer("dog.wav", method="GradCAM")
explanation.save("results/dog")
print(explanation.top_classes(), explanation.p, explanation.p_in, explanation.p_out)
"""

import logging

import torch

from data_prep.audio import peak_normalise
from lmac.checkpoints import explained_classifier, read_labels, training_info
from lmac.core.explained import ExplainedClassifier
from lmac.core.scoring import analyse_clips, explain, get_interpreters, judge
from lmac.core.windows import cut, cut_frames, frame_starts, stitch
from lmac.explain.explanation import Explanation, Window
from lmac.explain.fit import fit_decoder
from lmac.explain.network import OF_NETWORK, explain_network, network_settings, of_explain_yaml
from lmac.explain.recording import Recording, levels
from lmac.explain.source import waveform
from lmac.settings.compose import HPARAMS
from lmac.settings.load import load

logger = logging.getLogger(__name__)

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
    model : nn.Module
        From waveforms [B, L] to logits [B, K]; a copy of it is explained. Or an
        ``ExplainedClassifier``, which has its front end and domain, as ``from_hparams`` gives it;
        then with ``interpreters``.
    sample_rate : int
        Hz, that the network reads: STFT and mask are made at this rate, files are resampled to it.
    labels : list of str, optional
        Class names in the order of the outputs; by default "class 0", "class 1", …
    layers : list of str or dict of str to str, optional
        Layers whose outputs GradCAM and L-MAC's decoder read, finest first, and their axes
        (``lmac.classifiers.layers.LayerTap``). Without, L-MAC's decoder has an encoder of its own,
        and GradCAM is refused.
    interpreters : dict, optional
        Name to factory, as in ``hparams/interpreters.yaml``; built when first asked for.
    device : str
    window_s, overlap_s : float
        Seconds; an overlap of at most half a window, by default a fifth. A recording up to a tenth
        longer than a window is explained in one.
    min_length_s : float
        Shorter recordings are zero-padded to it for the analysis; evaluations pad to the length
        of the training clips. What the classifier needs at least is padded in any case.
    batch_size : int
        Windows at a time.
    seed : int
        Of methods with random numbers.
    **settings
        For a network: ``outputs`` ("sigmoid" for a tagger, with its ``threshold``), ``reads``,
        ``input_length`` and ``frequency_axis`` (``lmac.classifiers.Network``), and whatever
        hparams/explain.yaml has, such as ``lmac_checkpoint`` (the folder that :meth:`fit` wrote) or
        ``ig_steps``.

    Raises ValueError, in one sentence, for what does not fit together.
    """

    def __init__(
        self, model, sample_rate=16000, labels=None, layers=(), *, interpreters=None, device=None,
        window_s=5.0, overlap_s=None, min_length_s=0.0, batch_size=8, seed=1234, **settings,
    ):  # fmt: skip
        self.network = None
        if isinstance(model, ExplainedClassifier):
            explained = model
        else:
            self.network = {"sample_rate": sample_rate, "layers": layers, "window_s": window_s}
            self.network |= {key: settings[key] for key in OF_NETWORK if key in settings}
            explained, made = explain_network(model, sample_rate, labels, layers, settings)
            interpreters = made if interpreters is None else interpreters
        if device is not None:
            explained = explained.to(device)
        n_classes = explained.output_sizes()[1]
        labels = [f"class {i}" for i in range(n_classes)] if labels is None else list(labels)
        if len(labels) != n_classes:
            raise ValueError(
                f"labels (label_encoder.txt) names {len(labels)} classes, but the classifier has "
                f"{n_classes}: leave out_n_neurons out, or give the names of this classifier."
            )
        if len(set(labels)) < n_classes or not all(isinstance(name, str) for name in labels):
            raise ValueError("labels: expected a different text for each class.")
        front_end = explained.domain.front_end
        self.hop, self.sample_rate = front_end.hop_samples, front_end.sample_rate
        self.least = (explained.classifier.min_frames - 1) * self.hop
        self.window = round(window_s * self.sample_rate)
        overlap_s = window_s / 5 if overlap_s is None else overlap_s
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
        self.available = dict(interpreters or {})
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
        explained = explained_classifier(hparams)
        folder = hparams["classifier_checkpoint"]
        labels = read_labels(folder) if folder else None  # of a network that brings its weights
        labels = explained.classifier.labels or labels
        keys = ("interpreters", "window_s", "overlap_s", "min_length_s", "batch_size", "seed")
        own = {key: hparams[key] for key in keys}
        return cls(explained, labels=labels, device=device, **own)

    @classmethod
    def load(cls, folder, model=None, **settings):
        """The explainer whose decoder is in ``folder``, with the network that it explains.

        Arguments
        ---------
        folder : path
            What :meth:`fit` wrote, <output_folder>/best, or train_classifier.py.
        model : nn.Module, optional
            The network that :meth:`fit` was called for: weights alone do not make one. Its rate,
            labels and layers are known. Not for a classifier of this project.
        **settings
            As for the constructor, or of hparams/explain.yaml.

        Raises ValueError for another network than the decoder was trained for.
        """
        known = training_info(folder).get("network")
        if known is None:
            return cls.from_hparams(
                HPARAMS / "explain.yaml", {"classifier_checkpoint": str(folder), **settings}
            )
        if model is None:
            raise ValueError(
                f"{folder} has the decoder of a network that is not a part of it: give the "
                "network, lmac.Explainer.load(folder, model)."
            )
        return cls(model, lmac_checkpoint=str(folder), **{**known, **settings})

    def fit(self, recordings, epochs=None, output_folder=None, **settings):
        """Train L-MAC's decoder for this classifier, and use it from now on; needs no labels.

        A tenth of the files selects the checkpoint. Says how long it will take, and goes on where
        it was when it is called again.

        Arguments
        ---------
        recordings : path or list of paths
            A folder of audio, with its subfolders, or files; they are cut into clips of
            ``window_s``.
        epochs : int, optional
            By default those of hparams/lmac.yaml.
        output_folder : path, optional
            By default results/lmac/<domain>/<seed>. The decoder is in its folder best, which
            ``lmac_checkpoint`` and :meth:`load` take.
        **settings
            Others of hparams/lmac.yaml, such as ``batch_size``, ``lr`` or ``noise_folder``.

        Returns
        -------
        Explainer
            This one.

        Raises ValueError, in one sentence, for what cannot be used.
        """
        if epochs is not None:
            settings["number_of_epochs"] = epochs
        if output_folder is not None:
            settings["output_folder"] = output_folder
        domain, front_end = self.explained.domain, self.explained.domain.front_end
        base = network_settings(self.sample_rate, self.explained.output_sizes()[0], {})
        base |= {"domain": domain.name, "n_fft": front_end.n_fft, "n_mels": front_end.n_mels}
        facts = {} if self.network is None else {"network": {**self.network, "labels": self.labels}}
        best = fit_decoder(
            self.explained, recordings, self.window / self.sample_rate, facts, base | settings
        )
        made = of_explain_yaml(base | {"lmac_checkpoint": str(best)})["interpreters"]
        for name in ("L-MAC", "L-MAC refined"):
            self.available[name] = made[name]
            self.interpreters.pop(name, None)
        return self

    def __repr__(self):
        return f"<Explainer: {len(self.labels)} classes, {self.sample_rate} Hz>"

    def __call__(self, source, method="L-MAC", target_class=None):
        """As :meth:`explain`."""
        return self.explain(source, method, target_class)

    def explain(self, source, method="L-MAC", target_class=None):
        """Explain a recording.

        Arguments
        ---------
        source : path, (array, rate) or Recording
            Any file that soundfile reads; samples [n] or [channels, n] (NumPy or torch) and their
            rate in Hz; or what :meth:`read` gave, for several methods or classes.
        method : str
            Name of an interpreter.
        target_class : str, optional
            Class to explain in all windows; otherwise each window explains its own decision, for
            that is what the classifier decides and what decoders are trained to explain.

        Returns
        -------
        Explanation

        Raises
        ------
        ValueError
            For silence, what cannot be read, an unknown method or class, or a method that cannot
            be asked for one.
        """
        interpreter, chosen = self.check(method, target_class)
        recording = source if isinstance(source, Recording) else self.read(source)
        target = self._targets(recording, chosen)
        mask = explain(self.explained, interpreter, recording.clips, target, self.seed)
        return self._scored(recording, method, stitch(mask, recording.starts), target, target_class)

    def read(self, source, progress=None, name=None, peak=None):
        """Read and analyse a recording once, for several methods and classes.

        Arguments
        ---------
        source : path or (array, rate)
            As for :meth:`explain`. Channels are averaged; it is resampled to the classifier's
            rate, and a warning is logged where most of its energy lies above what that hears.
        progress : callable, optional
            Called with a number of windows whenever these were read once more: once here, and
            ``passes`` times by each :meth:`explain`.
        name : str, optional
            Kept in the result; by default the path.
        peak : float, optional
            Of the recording of which ``source`` is a part, so that the part has its level there.

        Raises ValueError for silence, for what cannot be read, and for answers that are NaN.
        """
        wav, name, warning = waveform(source, self.sample_rate, name)
        if warning is not None:
            logger.warning(warning)
        whole = peak is not None
        peak = peak if whole else float(wav.abs().max())
        domain = self.explained.domain
        window, starts = self._window_starts(len(wav))
        total = starts[-1] * self.hop + window
        padded = torch.nn.functional.pad(
            wav / peak if whole else peak_normalise(wav), (0, total - len(wav))
        )
        padded = padded.to(next(self.explained.buffers()).device)
        windows = cut(padded, starts, window, self.hop)
        X, phase = domain.analyse(padded[None])
        clips = analyse_clips(
            self.explained, windows, batch_size=self.batch_size, progress=progress
        )
        if clips.probs.isnan().any():
            raise ValueError(
                "The classifier answers with NaN or infinity: are its weights whole, and those of "
                "this network? --classifier_checkpoint says which."
            )
        return Recording(
            source=name,
            labels=self.labels,
            gain=1 / peak,
            wav=padded,
            n_samples=len(wav),
            starts=starts,
            window=window,
            hop=self.hop,
            sample_rate=self.sample_rate,
            clips=clips,
            X=X[0],
            phase=phase,
            levels_db=levels(windows, starts, self.hop, len(wav)),
            warning=warning,
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

    def labels_of(self, recording):
        """The labels that are there by a classifier with sigmoid outputs, most probable first."""
        named = recording.top_classes(len(self.labels))
        return [name for name, p in named if p >= self.explained.threshold]

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
            warning=recording.warning,
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
