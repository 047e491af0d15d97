"""Distances to the known source, against SpeechBrain and by hand."""

import math

import pandas as pd
import pytest
import torch
from speechbrain.nnet.losses import cal_si_snr

from metrics.distance import log_distance, si_sdr
from metrics.summary import summarise


def test_si_sdr_is_speechbrain_s_for_signals_without_mean():
    torch.manual_seed(0)
    source = torch.randn(3, 4000, dtype=torch.float64)
    estimate = 0.3 * source + torch.tensor([[0.01], [0.1], [2.0]]) * torch.randn(3, 4000)
    source, estimate = (x - x.mean(1, keepdim=True) for x in (source, estimate))
    theirs = -cal_si_snr(source.T.unsqueeze(2), estimate.T.unsqueeze(2)).flatten()
    torch.testing.assert_close(si_sdr(estimate, source), theirs, atol=1e-4, rtol=0)


def test_si_sdr_by_hand():
    source = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [3.0, 4.0]])
    estimate = torch.tensor([[2.0, 2.0], [5.0, 0.5], [1.0, 1.0], [0.0, 0.0], [3.0, 4.0]])
    values = si_sdr(estimate, source)
    assert float(values[0]) == pytest.approx(0, abs=1e-9)  # as much distortion as source
    assert float(values[1]) == pytest.approx(20)
    assert values[2].isnan() and values[3].isnan()
    assert 250 < float(values[4]) <= 301
    orthogonal = si_sdr(torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]]))
    assert orthogonal.isnan().all()  # minus infinity, which no mean survives


def test_si_sdr_of_quiet_and_of_constant_sounds():
    quiet = 1e-3 * torch.tensor([[1.0, 2.0]])
    assert 250 < float(si_sdr(quiet, quiet)) <= 301  # capped however quiet
    # All ones is no silence: half the energy of 1 1 lies along 1 0.
    assert float(si_sdr(torch.ones(1, 2), torch.tensor([[1.0, 0.0]]))) == pytest.approx(0, abs=1e-9)


def test_log_distance_by_hand():
    source = torch.tensor([[[3.0, 4.0]], [[1.0, 1.0]]])
    values = log_distance(torch.zeros(2, 1, 2), source)
    assert values.tolist() == pytest.approx([math.sqrt(12.5), 1.0])
    assert log_distance(source, source).tolist() == [0, 0]
    with pytest.raises(ValueError, match="one shape"):
        log_distance(source, source[:1])


def test_an_explanation_without_overlap_is_undefined_and_spoils_no_mean():
    source = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    values = si_sdr(torch.tensor([[0.0, 1.0], [1.0, 1.0]]), source)
    assert values[0].isnan() and values[1] == 0  # equal parts of the source and of something else
    rows = pd.DataFrame({"method": "A", "target_id": ["a", "b"], "SI-SDR (dB)": values})
    line = summarise(rows, ["method"], ["SI-SDR (dB)"]).iloc[0]
    assert line["SI-SDR (dB)"] == 0 and line["SI-SDR (dB) undefined"] == 1
