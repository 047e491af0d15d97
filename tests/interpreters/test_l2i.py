"""L2I: dictionary, loss, networks and mask, each against something worked out elsewhere."""

import numpy as np
import pytest
import torch
from conftest import make_explained
from sklearn.decomposition import NMF, non_negative_factorization

from interpreters.l2i import L2I, L2INetwork, component_mask, relevances
from lmac.training.l2i import l2i_loss
from lmac.training.nmf import (
    learn_dictionary,
    load_dictionary,
    relative_error,
    save_dictionary,
    training_frames,
)

K = 6


def make_network(explained, hidden=8, seed=0):
    torch.manual_seed(seed)
    W = torch.rand(explained.domain.front_end.n_bins, K)
    network = L2INetwork(explained, W / W.norm(dim=0), hidden).eval()
    # Whatever the draw, every class has components for it, weaker ones and some against it.
    weight = network.theta.linear.weight.data
    for c, row in enumerate(weight):
        row.copy_(torch.linspace(-1, 2, K).roll(c))
    return network


def make_l2i(explained, folder, **options):
    torch.save(make_network(explained).state_dict(), folder / "l2i.ckpt")
    return L2I(explained, folder, **options)


def analysed(explained, batch=3, n_samples=16000):
    generator = torch.Generator().manual_seed(5)
    return explained.domain.analyse(0.3 * torch.randn(batch, n_samples, generator=generator))[0]


def planted(n_frames=8000, n_bins=40, rank=5, noise=0.3, seed=0):
    """Frames of ``rank`` spectral shapes that sound at times, and the shapes [n_bins, rank]."""
    generator = np.random.default_rng(seed)
    W = generator.random((n_bins, rank)) ** 4
    H = generator.exponential(size=(rank, n_frames)) * (generator.random((rank, n_frames)) < 0.4)
    X = (W @ H).T + noise * generator.random((n_frames, n_bins))
    return X.astype(np.float32), W / np.linalg.norm(W, axis=0)


# Dictionary


def test_the_dictionary_is_as_good_as_full_nmf():
    """Mini-batches may cost a tenth of the error of scikit-learn's NMF on all frames at once."""
    X, truth = planted()
    W, history = learn_dictionary(X, 5, tolerance=1e-3, max_epochs=60)
    full = NMF(5, init="nndsvda", max_iter=500, random_state=0).fit(X).components_

    def error(components):
        H, *_ = non_negative_factorization(
            X, H=components.astype(np.float32), n_components=5, update_H=False, max_iter=500
        )
        return np.linalg.norm(X - H @ components) / np.linalg.norm(X)

    assert error(W.T) < 1.1 * error(full)
    # The shapes that were planted, in any order.
    assert (truth.T @ W).max(1).min() > 0.98
    np.testing.assert_allclose(np.linalg.norm(W, axis=0), 1, rtol=1e-5)
    # And the reported error is of frames that it did not learn from, yet close to this one.
    assert history["relative_error"].iloc[-1] == pytest.approx(error(W.T), rel=0.25)
    assert history["relative_error"].iloc[-1] < 0.7 * history["relative_error"].iloc[0]


def test_the_dictionary_is_the_same_for_a_seed_and_stops_by_its_tolerance():
    X, _ = planted(1500)
    one, long = learn_dictionary(X, 5, seed=3, tolerance=1e-3)
    assert np.array_equal(one, learn_dictionary(X, 5, seed=3, tolerance=1e-3)[0])
    assert not np.array_equal(one, learn_dictionary(X, 5, seed=4, tolerance=1e-3)[0])
    _, short = learn_dictionary(X, 5, seed=3, tolerance=0.2)
    assert 2 <= len(short) < len(long)
    steps = 1 - short["relative_error"].to_numpy()[1:] / short["relative_error"].to_numpy()[:-1]
    assert (steps[:-1] >= 0.2).all() and steps[-1] < 0.2
    assert len(learn_dictionary(X, 5, tolerance=-10, max_epochs=3)[1]) == 3


def test_too_few_frames_are_refused():
    with pytest.raises(ValueError, match="n_components: 30 components cannot be learnt from 30 "):
        learn_dictionary(planted(30)[0], 30)


def test_silence_is_dropped_and_a_bound_kept(explained):
    generator = torch.Generator().manual_seed(0)
    sound = 0.1 * torch.randn(4, 16000, generator=generator)
    sound[:, 8000:] = 0
    n_sounding = 8000 // 186 + 1 + 2  # the analysis window reaches two frames further
    domain = explained.domain
    frames, found = training_frames(sound, domain, 10**6)
    assert found == len(frames) and abs(found - 4 * n_sounding) <= 8
    assert frames.max(1).min() > 0.01

    some, found_again = training_frames(sound, domain, 50, seed=1)
    assert found_again == found and some.shape == (50, 513)
    everything = {f.tobytes() for f in frames}
    assert len({f.tobytes() for f in some} & everything) == 50  # different ones, and real ones
    assert np.array_equal(some, training_frames(sound, domain, 50, seed=1)[0])
    assert not np.array_equal(some, training_frames(sound, domain, 50, seed=2)[0])
    with pytest.raises(ValueError, match="All training clips are silent"):
        training_frames(torch.zeros(2, 16000), domain, 50)


def test_the_subset_is_drawn_evenly_from_all_clips(explained):
    """Clips at ten levels, which tell where a frame is from; a tenth is kept, in several steps."""
    noise = torch.randn(16000, generator=torch.Generator().manual_seed(0))
    wavs = torch.stack([noise * 10 ** (-i / 4) for i in range(10)])
    frames, found = training_frames(wavs, explained.domain, 86, seed=0)
    loudness = np.log10(np.expm1(frames).max(1)) * 4
    assert found == 10 * 87
    counts = np.bincount((loudness.max() - loudness).round().astype(int).clip(0, 9), minlength=10)
    assert counts.sum() == 86 and counts[:5].sum() == pytest.approx(43, abs=20)


def test_a_foreign_dictionary_is_refused(tmp_path):
    path = tmp_path / "dictionary.npz"
    made = {"n_components": "3", "seed": "1"}
    W = np.random.default_rng(0).random((4, 3)).astype(np.float32)
    save_dictionary(path, W, 0.25, made)
    again, error = load_dictionary(path, made)
    assert np.array_equal(W, again) and error == 0.25
    assert {p.name for p in tmp_path.iterdir()} == {"dictionary.npz", "SHA256SUMS"}
    with pytest.raises(ValueError, match="was made with seed 1, now it is 2: delete") as problem:
        load_dictionary(path, {**made, "seed": "2"})
    assert "\n" not in str(problem.value)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"text", b""):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="dictionary.npz is not a dictionary of L2I"):
            load_dictionary(path, made)


def test_relative_error():
    assert relative_error(np.array([[3.0, 4.0]]), np.array([[3.0, 1.0]])) == pytest.approx(0.6)


# Loss


def test_the_loss_agrees_with_its_formula():
    generator = torch.Generator().manual_seed(2)
    B, T, n_bins, C = 3, 7, 11, 4

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    X, H, W = draw(B, T, n_bins).abs(), draw(B, K, T).abs(), draw(n_bins, K).abs()
    logits, f_logits = draw(B, C), draw(B, C)
    estimate = (W @ H).transpose(1, 2)
    parts = l2i_loss(X, estimate, H, logits, f_logits, alpha=3.0, beta=0.5, gamma=2.0)

    squares, entropy = 0.0, 0.0
    for b in range(B):
        for t in range(T):
            for f in range(n_bins):
                squares += (X[b, t, f] - sum(W[f, k] * H[b, k, t] for k in range(K))) ** 2
        q, p = np.exp(f_logits[b].numpy()), np.exp(logits[b].numpy())
        entropy -= (q / q.sum() * np.log(p / p.sum())).sum()
    expected = {
        "reconstruction": 3.0 * float(squares) / (B * T * n_bins),
        "l1": 0.5 * float(H.sum()) / (B * K * T),
        "cross_entropy": 2.0 * entropy / B,
    }
    for name, value in expected.items():
        assert float(parts[name]) == pytest.approx(value, rel=1e-10), name
    assert float(parts["loss"]) == pytest.approx(sum(expected.values()), rel=1e-10)

    # Twice the batch, or clips twice as long, weigh no more.
    for dim, last in ((0, 0), (1, 2)):
        double = [torch.cat([v, v], dim) for v in (X, estimate)] + [torch.cat([H, H], last)]
        both = [torch.cat([v, v]) for v in (logits, f_logits)] if dim == 0 else [logits, f_logits]
        again = l2i_loss(*double, *both, alpha=3.0, beta=0.5, gamma=2.0)
        assert float(again["loss"]) == pytest.approx(float(parts["loss"]), rel=1e-10)


# Networks


@pytest.mark.parametrize("kind", ["cnn14", "conv2d"])
def test_gradients_reach_the_networks_and_not_the_classifier(kind):
    explained = make_explained(kind)
    network = make_network(explained).train()
    X = analysed(explained)
    f_logits, representations = explained(X)
    H, estimate, logits = network(representations, X.shape[1])
    l2i_loss(X, estimate, H, logits, f_logits)["loss"].backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    assert not network.W.requires_grad
    assert all(parameter.grad is None for parameter in explained.parameters())


@pytest.mark.parametrize("kind", ["cnn14", "conv2d"])
@pytest.mark.parametrize("n_samples", [6001, 16000, 30011])
def test_any_clip_length_and_batch_size(kind, n_samples, tmp_path):
    explained = make_explained(kind)
    interpreter = make_l2i(explained, tmp_path)
    X = analysed(explained, 3, n_samples)
    target = torch.tensor([0, 3, 1])
    masks = interpreter.explain(X, target)
    assert masks.shape == X.shape and masks.min() >= 0 and masks.max() <= 1
    assert masks.amax((1, 2)).min() > 0
    for i in range(3):
        alone = interpreter.explain(X[i : i + 1], target[i : i + 1])[0]
        torch.testing.assert_close(alone, masks[i], rtol=1e-3, atol=1e-4)


def test_activations_follow_the_time_of_the_input():
    """A burst moved by a second moves the activations' change by a second."""
    explained = make_explained()
    network = make_network(explained)
    wavs = torch.zeros(3, 48000)  # the last one stays silent
    burst = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    wavs[0, 8000:12000], wavs[1, 24000:28000] = burst, burst
    X, _ = explained.domain.analyse(wavs)
    with torch.no_grad():
        H = network.psi(explained(X)[1], X.shape[1])
    assert H.shape == (3, K, X.shape[1]) and H.min() > 0
    activity = (H[:2] - H[2]).abs().sum(1)
    centre = (activity * torch.arange(X.shape[1])).sum(1) / activity.sum(1)
    assert float(centre[1] - centre[0]) == pytest.approx(16000 / 186, rel=0.2)


def test_theta_s_relevances_add_up_to_its_logits():
    network = make_network(make_explained())
    H = torch.rand(2, K, 9)
    z = network.theta.pool(H)
    assert ((z >= H.amin(2)) & (z <= H.amax(2))).all()  # a weighted mean over time
    by_hand = torch.einsum("ck,bk->bc", network.theta.linear.weight, z)
    torch.testing.assert_close(network.theta(H), by_hand)


# Mask


def test_the_mask_of_three_components_by_hand():
    W = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0]])  # two bins
    H = torch.tensor([[[2.0, 0.0], [1.0, 1.0], [1.0, 0.5]]])  # two frames
    # W H: bin 0 is 2 + 2, then 0 + 1; bin 1 is 3 + 1, then 3 + 0.5.
    r = relevances(torch.tensor([[4.0, -1.0, 0.5]]), torch.tensor([[0.5, 1.0, 0.8]]))
    assert r.tolist() == [pytest.approx([1.0, -0.5, 0.2])]
    first = component_mask(W, H, r > 0.25)
    assert first.tolist() == [[pytest.approx([0.5, 0.0]), pytest.approx([0.0, 0.0])]]
    both = component_mask(W, H, r > 0.15)
    assert both.tolist() == [[pytest.approx([1.0, 0.25]), pytest.approx([1.0, 1 / 7])]]
    assert (component_mask(W, H, r > 1) == 0).all()
    torch.testing.assert_close(component_mask(W, H, r > -1), torch.ones(1, 2, 2))
    # Nothing there, nothing kept; and no relevance at all is no division by zero.
    assert (component_mask(W, 0 * H, r > -1) == 0).all()
    assert relevances(torch.zeros(1, 3), torch.ones(1, 3)).tolist() == [[0.0, 0.0, 0.0]]


def test_the_mask_recovers_a_planted_source(tmp_path):
    """With true activations, and Theta hearing component k in class k."""
    explained = make_explained()
    interpreter = make_l2i(explained, tmp_path)
    network = interpreter.network
    H = torch.rand(2, K, 87, generator=torch.Generator().manual_seed(1))
    network.psi.forward = lambda representations, n_frames: H
    network.theta.linear.weight.data = torch.eye(5, K)
    X = (network.W @ H).transpose(1, 2)
    target = torch.tensor([1, 4])
    kept = interpreter.explain(X, target) * X
    for i, k in enumerate(target):
        source = H[i, k][:, None] * network.W[:, k]
        torch.testing.assert_close(kept[i], source, rtol=1e-4, atol=1e-6)
    # A class that no component speaks for.
    network.theta.linear.weight.data[2] *= -1
    assert (interpreter.explain(X, torch.tensor([2, 2])) == 0).all()


def test_the_threshold_and_the_class_matter(tmp_path):
    explained = make_explained()
    X = analysed(explained)
    interpreter = make_l2i(explained, tmp_path)
    assert interpreter.any_class
    one, other = (interpreter.explain(X, torch.full((3,), c)) for c in (0, 1))
    assert not torch.allclose(one, other)
    means = [
        L2I(explained, tmp_path, relevance_threshold=t).explain(X, torch.zeros(3).long()).mean()
        for t in (-0.9, 0.2, 0.9)
    ]
    assert means[0] > means[1] > means[2] > 0
    assert interpreter.description != L2I(explained, tmp_path, 0.5).description
    with pytest.raises(ValueError, match="relevance_threshold is 2"):
        L2I(explained, tmp_path, relevance_threshold=2)


# Checkpoints


def test_missing_and_foreign_checkpoints_get_one_sentence(tmp_path):
    explained = make_explained()
    interpreter = make_l2i(explained, tmp_path)
    state = torch.load(tmp_path / "l2i.ckpt", weights_only=True)
    assert L2I(explained, tmp_path / "l2i.ckpt").description == interpreter.description
    (tmp_path / "cut").mkdir()
    torch.save({"bias": torch.zeros(3)}, tmp_path / "cut" / "l2i.ckpt")
    (tmp_path / "bins").mkdir()
    torch.save({**state, "W": state["W"][:257]}, tmp_path / "bins" / "l2i.ckpt")
    (tmp_path / "text").write_text("no weights")
    cases = [
        (explained, None, "l2i_checkpoint is not set"),
        (explained, tmp_path / "nowhere", "l2i_checkpoint: there is no .*nowhere; train it"),
        (explained, tmp_path / "cut", "is no checkpoint of L2I"),
        (explained, tmp_path / "bins", "has 257 frequency bins, this front end 513"),
        (explained, tmp_path / "text", "is not a readable PyTorch state dict"),
        (make_explained("conv2d"), tmp_path, "another architecture than the L2I network"),
        (make_explained(n_classes=4), tmp_path, "another architecture than the L2I network"),
        (make_explained(seed=1), tmp_path, "was trained on another classifier"),
        (make_explained(domain="mel"), tmp_path, "cannot explain domain: mel; use domain: stft"),
    ]
    for of, checkpoint, message in cases:
        with pytest.raises((ValueError, FileNotFoundError), match=message) as problem:
            L2I(of, checkpoint)
        assert "\n" not in str(problem.value)
