"""What is timed of ours: the scripts' own objects, with random weights."""

import copy
import tempfile
from contextlib import contextmanager
from pathlib import Path

import torch
from speechbrain.dataio.batch import PaddedBatch

from benchmarks.loading import trainer
from interpreters.lmac import LMAC
from lmac.checkpoints import DECODER_FILE
from lmac.core.losses import clips_out
from lmac.core.scoring import analyse_clips, explain_and_score
from lmac.settings.load import load

RECIPE = "recipes/ESC10/recipe.yaml:lmac"
AISFX = "recipes/ESC10_aisfx/recipe.yaml:lmac"


class Ours:
    """A training of the recipe, its classifier and what explains with its decoder.

    Arguments
    ---------
    batch_size : int
    seconds : float
        Of a clip.
    device : str
    width : int or None
        Of CNN14; None for aisfx with its published weights.
    n_classes : int
    """

    def __init__(self, batch_size, seconds, device="cpu", width=16, n_classes=10):
        torch.manual_seed(0)
        overrides = {
            "data_folder": "none",
            "classifier_checkpoint": "none",
            "out_n_neurons": n_classes,
        }
        if width is not None:
            overrides["classifier_width"] = width
        hparams = load(RECIPE if width else AISFX, overrides)[0]
        self.brain = trainer({**hparams, "augment": None}, device)
        if width is None:
            self.brain.explained.classifier.embedding_model.load_pretrained()
        self.explained, self.domain = self.brain.explained, self.brain.explained.domain
        self.wav = 0.1 * torch.randn(batch_size, round(hparams["sample_rate"] * seconds))
        self.wav = self.wav.to(self.brain.device)
        self.batch = PaddedBatch([{"sig": wav} for wav in self.wav])
        with tempfile.TemporaryDirectory() as folder:
            decoder = self.brain.modules["decoder"]
            torch.save(decoder.state_dict(), Path(folder) / DECODER_FILE)
            self.interpreter = LMAC(self.explained, hparams["decoder"], folder)
        self.X, self.phase = self.domain.analyse(self.wav)
        with torch.no_grad():
            self.logits, self.representations = self.explained(self.X, self.phase)
            self.features = self.domain.to_features(self.X, self.phase)
        self.target = self.logits.argmax(1)

    def step(self):
        """A training step: analysis, mask, loss, gradients, optimizer."""
        return float(self.brain.fit_batch(self.batch))

    def whole_step(self):
        """The same with the masked-out part of every clip, whatever ``out_share`` of the recipe."""
        share, self.brain.hparams.out_share = self.brain.hparams.out_share, 1.0
        loss = self.step()
        self.brain.hparams.out_share = share
        return loss

    @torch.no_grad()
    def decode(self):
        """The decoder alone, from representations that are there."""
        return self.interpreter.decoder(
            self.representations, self.X, self.target, self.domain
        ).sigmoid()

    @torch.no_grad()
    def explain(self):
        """From waveforms to masks."""
        X, phase = self.domain.analyse(self.wav)
        return self.interpreter.explain(X, self.target, phase)

    def evaluate(self):
        """From waveforms to every metric, with the sound of the explanations."""
        with torch.no_grad():
            clips = analyse_clips(self.explained, self.wav)
        return explain_and_score(self.explained, self.interpreter, clips, clips.decision, 0).scores

    @torch.no_grad()
    def one_pass(self):
        """The classifier over X."""
        return self.explained.classifier(self.features)

    def passes_of_a_step(self):
        """What a step cannot do without: over X, and there and back over what is masked.

        That is the masked-in half, and as much of the masked-out half as a step looks at.
        """
        self.one_pass()
        n = clips_out(len(self.features), self.brain.hparams.out_share)
        both = torch.cat([self.features, self.features[:n]]).requires_grad_()
        self.explained.classifier(both)[0].sum().backward()


@contextmanager
def layer_by_layer(module):
    """The module as any network of PyTorch runs: convolution, norm and ReLU one after another.

    Hooks that do nothing have that effect (``lmac.core.fast``).
    """
    handles = [m.register_forward_hook(lambda *_: None) for m in module.modules()]
    try:
        yield module
    finally:
        for handle in handles:
            handle.remove()


def plain(ours, function):
    """``function`` with the classifier layer by layer."""

    def run():
        with layer_by_layer(ours.explained.classifier):
            return function()

    return run


def plain_copy(classifier):
    """A copy of a classifier, layer by layer and in PyTorch's usual layout."""
    copied = copy.deepcopy(classifier).to(memory_format=torch.contiguous_format)
    for module in copied.modules():
        module.register_forward_hook(lambda *_: None)
    return copied
