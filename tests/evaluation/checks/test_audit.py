"""The audit: planted methods and networks of known answers, and other classifiers' folders."""

import matplotlib.image
import pandas as pd
import pytest
import torch
from conftest import make_explained
from planted import plant
from speechbrain.dataio.encoder import CategoricalEncoder
from tones import LABELS, SCENARIO, Deaf, Listens, Tones, check_of, tones

from interpreters.base import Interpreter
from lmac.core.scoring import analyse_clips, classify, probabilities
from lmac.evaluation.checks.audit import OWN, Audit, networks_of, report, summary_of
from lmac.evaluation.files import AUDIT
from lmac.evaluation.report import _check_columns
from lmac.explain.figures import audit_figure
from lmac.transfer import TransferClassifier, transfer_classifiers
from metrics.asked import decides_for

# A little of the quieter tone, so that "low" and "high" are decided by the louder.
CLIPS = SCENARIO.assign(gain_target=1.0, gain_contaminant=0.1, contaminant_wav=["a", "b", "a"])


class Planted:
    """Another network: that of ``explained``, or one that always decides for one class."""

    def __init__(self, name, explained, always=None):
        self.name, self.digest, self.explained, self.always = name, name, explained, always

    def probabilities(self, X, phase):
        if self.always is None:
            return self.explained.probabilities(X)
        probs = torch.full((len(X), len(LABELS)), 0.1, dtype=torch.float64)
        probs[:, LABELS.index(self.always)] = 0.7
        return probs


class Wrong(Interpreter):
    """Keeps the band that the decision is not about."""

    any_class = False

    def explain(self, X, target, phase=None):
        mask = torch.zeros_like(X)
        for i, c in enumerate(target.tolist()):
            mask[i, :, slice(250, None) if LABELS[c] == "low" else slice(0, 60)] = 1
        return mask


@pytest.fixture
def explained():
    return Tones(make_explained(kind="conv2d"))


class OfTones(Audit):
    """Of clips that say themselves which class is absent from them."""

    def scenario(self):
        return self.setup.scenario


def audit_of(explained, path, methods=(Listens, Wrong, Deaf), others=(), clips=CLIPS, **more):
    interpreters = {m.__name__: m(explained) for m in methods}
    check = check_of(OfTones, explained, path, interpreters, clips, **more, transfer=list(others))
    return check.rows(), check.folder


def test_what_is_so_and_what_only_looks_so(explained, tmp_path):
    same, low = Planted("same", explained), Planted("low", explained, "low")
    rows, _ = audit_of(explained, tmp_path, others=[same, low])
    summary = summary_of(rows, 50).set_index("method")
    assert networks_of(rows) == ["same", "low"]
    assert summary["Fid-In"].to_dict() == {"Listens": 1, "Wrong": 0, "Deaf": 1}
    # The clips of "high" are not compared with a network that hears "low" in them.
    assert (summary["n (same)"] == 3).all() and (summary["n (low)"] == 2).all()
    assert summary["Fid-In (same)"].to_dict() == {"Listens": 1, "Wrong": 0, "Deaf": 1}
    assert (summary["Fid-In (low)"] == 1).all()
    assert (summary["p in (low)"] - 0.7).abs().max() < 1e-9
    # A mask of ones is the same shuffled; so is its p to the last bit.
    deaf = summary.loc["Deaf"]
    assert deaf["p"] == deaf["p in"] == deaf["p random"] == deaf["p in (same)"]
    assert deaf["MM"] == 1 and deaf["Fid-In random"] == 1
    for name in ("shifted", "-6 dB", "noise at 30 dB"):
        assert summary.loc["Listens", name] == 1
    # Wrong keeps the quiet tone, and loses the decision by every jitter as well.
    assert summary.loc["Wrong", "-6 dB"] == 0
    # Its own tone first: p falls at once, and comes back at once.
    assert summary.loc["Listens", "deletion"] < summary.loc["Deaf", "deletion"]
    assert summary.loc["Listens", "deletion"] < summary.loc["Wrong", "deletion"]
    assert summary.loc["Listens", "insertion"] > summary.loc["Wrong", "insertion"]


def test_absent_classes_are_explained_where_a_method_takes_a_target(explained, tmp_path):
    rows, _ = audit_of(explained, tmp_path, others=[Planted("low", explained, "low")])
    summary = summary_of(rows, 50).set_index("method")
    assert summary["false explanation"].notna().to_dict() == {
        "Listens": True,
        "Wrong": False,
        "Deaf": False,
    }
    # Asked for "other" and "none", which the network that always hears "low" never does.
    assert summary.loc["Listens", "false explanation (low)"] == 0
    asked = CLIPS["absent"].map(LABELS.index)
    data = tones(CLIPS)
    clips = analyse_clips(explained, *(torch.stack([i[k] for i in data]) for k in ("sig", "clean")))
    target = torch.tensor(asked.to_numpy())
    mask = Listens(explained).explain(clips.X, target)
    right = decides_for(probabilities(explained, clips, mask * clips.X), target)
    assert summary.loc["Listens", "false explanation"] == pytest.approx(100 * right.mean().item())


class OneAtATime(Planted):
    """Hears a tone only where it is alone, "none" in anything else."""

    def probabilities(self, X, phase):
        probs = self.explained.probabilities(X)
        loud = torch.stack([X[:, :, :60].amax((1, 2)), X[:, :, 250:].amax((1, 2))]) > 1e-6
        probs[loud.all(0)] = torch.tensor([0.1, 0.1, 0.1, 0.7], dtype=torch.float64)
        return probs


def test_wrong_decisions_that_only_the_mask_makes_others_share(explained, tmp_path):
    # The clips say that neither tone is there, so "low" and "high" are wrong in all of them.
    clips = CLIPS.assign(label="none", contaminant_label="")
    others = [OneAtATime("alone", explained), Planted("low", explained, "low")]

    def found(rows, path):
        sounds = tones(CLIPS)
        table, _ = audit_of(explained, path, others=others, clips=rows, dataset=sounds)
        return summary_of(table, 20).set_index("method")

    summary = found(clips, tmp_path / "wrong")
    assert (summary["n wrong decision (alone)"] == 3).all()
    assert summary["wrong decision (alone)"].to_dict() == {"Listens": 100, "Wrong": 0, "Deaf": 0}
    assert (summary["wrong decision random (alone)"] == 0).all()
    # It heard "low" in two of them before, and hears nothing else in the third.
    assert (summary["n wrong decision (low)"] == 1).all() and (
        summary["wrong decision (low)"] == 0
    ).all()
    assert not any(c.startswith("wrong decision") and c.split(" (")[0] == c for c in summary)
    text = report(summary.reset_index(), ["alone", "low"], "About.")
    text = text.split("## False explanations of wrong decisions")[1]
    assert "| Listens | 3 | 100.0 [100.0, 100.0] | 0.0 [0.0, 0.0] | 1 |" in text

    # "high" is mixed in to one: no wrong decision there, and nothing left for the second.
    part = found(clips.assign(contaminant_label=["", "high", ""]), tmp_path / "part")
    assert (part["n wrong decision (alone)"] == 2).all() and "wrong decision (low)" not in part
    right = found(CLIPS, tmp_path / "right")
    assert not [c for c in right if "wrong decision" in c]
    assert "wrong decisions" not in report(right.reset_index(), ["alone", "low"], "About.")


def test_what_is_there_is_kept_and_a_new_network_is_the_only_one_asked(explained, tmp_path):
    asked = []

    class Counted(Planted):
        def probabilities(self, X, phase):
            asked.append(self.name)
            return super().probabilities(X, phase)

    one, two = Counted("one", explained), Counted("two", explained)
    first, _ = audit_of(explained, tmp_path, (Deaf,), [one])
    asked.clear()
    again, _ = audit_of(explained, tmp_path, (Deaf,), [one])
    assert not asked and again.equals(first)
    both, _ = audit_of(explained, tmp_path, (Deaf,), [one, two])
    assert set(asked) == {"two"} and networks_of(both) == ["one", "two"]
    asked.clear()
    # Trained anew: its rows are computed again, and those of methods not asked for are dropped.
    audit_of(explained, tmp_path, (Deaf, Listens), [one])
    asked.clear()
    one.digest = "other"
    rows, _ = audit_of(explained, tmp_path, (Listens,), [one])
    ones = rows[rows["network"] == "one"]
    assert set(ones["method"]) == {"Listens"} and ones["computed_with"].str.contains("other").all()
    assert set(rows[rows["network"] == OWN]["method"]) == {"Deaf", "Listens"}


def test_rows_do_not_depend_on_their_batch(explained, tmp_path):
    methods = {"Listens": Listens(explained)}
    data, check = tones(CLIPS), check_of(OfTones, explained, tmp_path, methods, CLIPS, transfer=[])

    def values(numbers):
        clips = analyse_clips(
            explained,
            *(torch.stack([data[i][k] for i in numbers]) for k in ("sig", "clean")),
        )
        absent = torch.tensor([3] * len(numbers))
        right = torch.zeros(len(numbers), dtype=torch.bool)
        inputs = {OWN: clips.probs}
        return check.values(methods["Listens"], clips, absent, right, numbers, inputs)[OWN]

    for alone, together in zip(values([0]) + values([1]), values([0, 1]), strict=True):
        assert alone == pytest.approx(together, nan_ok=True)


def test_the_report_says_who_is_worse_than_random(explained, tmp_path):
    rows, folder = audit_of(explained, tmp_path, others=[Planted("same", explained)])
    summary = summary_of(rows, 20)
    text = report(summary, networks_of(rows), "About.")
    assert "## To same" in text and "| Listens | 3 | 1.00 [1.00, 1.00] |" in text
    random = summary.set_index("method")["Fid-In random (same)"]
    assert random["Wrong"] > 0
    assert "Here Wrong keeps fewer decisions than its own values in random cells." in text
    assert "| Listens | " in text.split("## False explanations of absent classes")[1]
    audit_figure(summary, networks_of(rows), tmp_path / "audit.png")
    assert matplotlib.image.imread(tmp_path / "audit.png").std() > 0.05
    plant(tmp_path, "mixtures", "stft", ["Listens"])
    folder.write_check(AUDIT, summary, text)
    columns = _check_columns(folder).set_index("method")
    assert list(columns) == ["deletion", "insertion", "Fid-In (same)"]
    assert columns.loc["Listens", "Fid-In (same)"] == 1


# Other classifiers' folders.

NAMES = ["a", "b", "c", "d", "e"]
YAML = """
classifier_name: Small
seed: 7
signal_path: direct
front_end: !new:lmac.core.domain.FrontEnd {{{front_end}}}
embedding_model: {network}
classifier: !new:lmac.classifiers.LinearHead {{input_size: {size}, out_neurons: 5}}
"""


def trained(folder, kind="cnn14", seed=5, front_end="n_mels: 80", names=tuple(NAMES)):
    """What a training leaves of a small network; returns the folder of weights and the network."""
    network = make_explained(kind, seed=seed)
    model = network.classifier.embedding_model
    text = {"cnn14": "!new:lmac.classifiers.Cnn14 {width: 4}",
            "wave1d": "!new:lmac.classifiers.Wave1d {width: 4}"}[kind]  # fmt: skip
    (folder / "best").mkdir(parents=True)
    (folder / "hyperparams.yaml").write_text(
        YAML.format(network=text, size=model.emb_dim, front_end=front_end)
    )
    torch.save(model.state_dict(), folder / "best" / "embedding_model.ckpt")
    torch.save(network.classifier.classifier.state_dict(), folder / "best" / "classifier.ckpt")
    encoder = CategoricalEncoder()
    encoder.update_from_iterable(names, sequence_input=False)
    encoder.save(folder / "best" / "label_encoder.txt")
    return folder / "best", network


@pytest.fixture
def clips(wav):
    return analyse_clips(make_explained(), wav, wav)


def test_one_with_the_same_front_end_reads_the_masked_input(clips, tmp_path):
    ours = make_explained()
    best, theirs = trained(tmp_path / "run", names=tuple(reversed(NAMES)))
    other = TransferClassifier(best, ours, NAMES, "cpu")
    assert other.direct and other.name == "Small, seed 7"
    assert "reads f(M X) with its own front end" in other.description
    X = 0.5 * clips.X
    # Its outputs are in another order.
    expected = theirs.probabilities(X).flip(1)
    torch.testing.assert_close(other.probabilities(X, clips.phase), expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    "change", [{"kind": "wave1d"}, {"front_end": "n_fft: 512"}, {"front_end": "hop_length: 5.8"}]
)
def test_one_with_another_front_end_gets_the_sound(clips, wav, tmp_path, change):
    ours = make_explained()
    best, theirs = trained(tmp_path / "run", **change)
    other = TransferClassifier(best, ours, NAMES, "cpu")
    assert not other.direct and other.description.endswith("gets its sound")
    # Of a mask of ones that is the recording.
    expected = classify(other._network, wav)
    torch.testing.assert_close(
        other.probabilities(clips.X, clips.phase), expected, atol=1e-4, rtol=1e-3
    )
    if change == {"kind": "wave1d"}:
        sound = ours.domain.synthesise(0.5 * clips.X, clips.phase)
        expected = theirs.classifier(sound)[0].double().softmax(1)
        torch.testing.assert_close(other.probabilities(0.5 * clips.X, clips.phase), expected)


def test_the_mel_domain_goes_to_the_same_front_end_only(wav, tmp_path):
    ours = make_explained(domain="mel")
    best, theirs = trained(tmp_path / "same")
    other = TransferClassifier(best, ours, NAMES, "cpu")
    clips = analyse_clips(ours, wav)
    expected = theirs.classifier(0.5 * clips.X)[0].double().softmax(1)
    torch.testing.assert_close(other.probabilities(0.5 * clips.X, clips.phase), expected)
    best, _ = trained(tmp_path / "wave", kind="wave1d")
    with pytest.raises(ValueError, match="needs sound, which domain mel has not: leave it out, or"):
        TransferClassifier(best, ours, NAMES, "cpu")


def test_folders_that_cannot_be_used_are_named(tmp_path):
    ours = make_explained(seed=5)
    best, _ = trained(tmp_path / "run")
    with pytest.raises(
        ValueError, match="transfer_classifiers: .*run/best has the weights that are"
    ):
        TransferClassifier(best, ours, NAMES, "cpu")
    ours = make_explained()
    with pytest.raises(ValueError, match=r"has other classes .* \(a, x\): give classifiers of"):
        TransferClassifier(best, ours, ["x", *NAMES[1:]], "cpu")
    with pytest.raises(FileNotFoundError, match="there is no .*nowhere/hyperparams.yaml, which"):
        TransferClassifier(tmp_path / "nowhere" / "best", ours, NAMES, "cpu")
    again, _ = trained(tmp_path / "again", seed=6)
    with pytest.raises(ValueError, match="run/best and .*again/best are both Small, seed 7"):
        transfer_classifiers([best, again], ours, NAMES, "cpu")
    (best / "classifier.ckpt").unlink()
    with pytest.raises(ValueError, match="^transfer_classifiers: .*classifier.ckpt"):
        TransferClassifier(best, ours, NAMES, "cpu")


def test_a_network_that_never_decides_alike_has_empty_cells(explained, tmp_path):
    rows, _ = audit_of(explained, tmp_path, (Deaf,), [Planted("odd", explained, "other")])
    summary = summary_of(rows, 10)
    assert summary["n (odd)"].tolist() == [0] and summary["Fid-In (odd)"].isna().all()
    assert "| Deaf | 0 |  |  |  |  |  |" in report(summary, ["odd"], "About.")
    audit_figure(summary, ["odd"], tmp_path / "audit.png")


def test_silence_and_one_clip_have_a_summary(explained, tmp_path):
    """No interval, no crash; of silence there is no energy to remove."""
    rows = CLIPS[:1]
    data = [{"sig": torch.zeros(16000), "clean": torch.zeros(16000)}]
    found, _ = audit_of(explained, tmp_path, (Deaf,), clips=rows, dataset=data)
    summary = summary_of(found, 10)
    assert summary["n"].tolist() == [1] and pd.isna(summary["Fid-In lo"]).all()
    assert summary[["MM", "deletion", "insertion"]].notna().all(axis=None)
