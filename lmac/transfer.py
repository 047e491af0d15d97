"""Other classifiers of the same classes, which are shown explanations of one."""

from pathlib import Path

import torch
import torchaudio

from lmac.checkpoints import explained_classifier, labels_of, training_info, weights_digest
from lmac.core.outputs import probabilities
from lmac.settings.load import construct, settings

KEY = "transfer_classifiers"
# What makes two front ends the same.
_NUMBERS = ("sample_rate", "n_fft", "hop_samples", "n_mels")


class TransferClassifier:
    """A trained classifier, rebuilt from what its training left.

    Arguments
    ---------
    folder : path
        ``<output_folder>/best`` of ``train_classifier.py``; the ``hyperparams.yaml`` above it
        says what the network is.
    explained : ExplainedClassifier
        The one whose explanations it judges.
    labels : list of str
        Class names, in the order of its outputs.
    device : str

    Raises ValueError for other classes or the same weights, where an explanation cannot be given
    to it, and for weights that do not fit; FileNotFoundError for a folder without them.
    """

    def __init__(self, folder, explained, labels, device):
        self.folder, self.explained = Path(folder), explained
        yaml = self.folder.parent / "hyperparams.yaml"
        if not yaml.is_file():
            raise FileNotFoundError(
                f"{KEY}: there is no {yaml}, which says what the network in {self.folder} is: give "
                "<output_folder>/best of a finished train_classifier.py."
            )
        plain = settings(yaml)
        self.name = f"{plain['classifier_name']}, seed {plain['seed']}"
        parts = {key: construct(yaml, key) for key in ("embedding_model", "classifier")}
        parts |= {"front_end": construct(yaml, "front_end"), "signal_path": plain["signal_path"]}
        self._network = self._built(parts, "stft").to(device)
        self.digest = weights_digest(self._network.classifier)
        if self.digest == weights_digest(explained.classifier):
            raise ValueError(
                f"{KEY}: {self.folder} has the weights that are explained: give others."
            )
        own = labels_of(self._network.classifier, self.folder)
        if set(own) != set(labels):
            odd = sorted(set(own) ^ set(labels))
            raise ValueError(
                f"{KEY}: {self.folder} has other classes than the one explained "
                f"({', '.join(odd[:5])}): give classifiers of the same data set."
            )
        self._columns = torch.tensor([own.index(name) for name in labels], device=device)
        self.direct = self._same_front_end()
        if self.direct and explained.domain.name != "stft":
            self._network = self._built(parts, explained.domain.name).to(device)
        if not self.direct and not explained.domain.listenable:
            raise ValueError(
                f"{KEY}: {self.folder} has another front end, so it needs sound, which domain "
                f"{explained.domain.name} has not: leave it out, or use --domain=stft."
            )

    def _built(self, parts, domain):
        hparams = {**parts, "classifier_checkpoint": str(self.folder), "domain": domain}
        try:
            return explained_classifier(hparams)
        except (ValueError, FileNotFoundError) as error:
            text = str(error).removeprefix("classifier_checkpoint: ")
            raise ValueError(f"{KEY}: {text}") from error

    def _same_front_end(self):
        ours, theirs = self.explained.domain, self._network.domain
        if ours.needs_phase or theirs.needs_phase:
            return False
        one, other = ours.front_end, theirs.front_end
        return all(getattr(one, n) == getattr(other, n) for n in _NUMBERS) and all(
            torch.equal(getattr(one, b), getattr(other, b)) for b in ("window", "mel_matrix")
        )

    @property
    def training(self):
        """What its training recorded, a dict."""
        return training_info(self.folder)

    @property
    def description(self):
        """Name and how it is given an explanation."""
        how = "reads f(M X) with its own front end" if self.direct else "gets its sound"
        return f"{self.name} {how}"

    def logits(self, X, phase):
        """Its answer to ``X`` [B, T, F], an input or masked, with its phase: [B, K].

        K in the order of ``labels``; differentiable. Where its front end is that of the explained
        classifier it reads ``X``; otherwise the sound of it, at the level that it has.
        """
        if self.direct:
            return self._network.logits(X, phase)[:, self._columns]
        sound = self.explained.domain.synthesise(X, phase)
        ours = self.explained.domain.front_end.sample_rate
        theirs = self._network.domain.front_end.sample_rate
        if ours != theirs:
            sound = torchaudio.functional.resample(sound, ours, theirs)
        features = self._network.domain.features(sound)
        return self._network.classifier(features)[0][:, self._columns]

    @torch.no_grad()
    def probabilities(self, X, phase):
        """The same as probabilities [B, K] in float64."""
        return probabilities(self.logits(X, phase).double(), self.explained.outputs)


def transfer_classifiers(folders, explained, labels, device):
    """A :class:`TransferClassifier` of each folder; ValueError for two of one name."""
    others = [TransferClassifier(folder, explained, labels, device) for folder in folders]
    names = {}
    for other in others:
        if other.name in names:
            raise ValueError(
                f"{KEY}: {names[other.name]} and {other.folder} are both {other.name}: give "
                "networks that differ in architecture or seed."
            )
        names[other.name] = other.folder
    return others
