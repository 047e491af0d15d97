"""Statistics of a listening test: screening, mean opinion scores, tests between methods."""

from itertools import combinations

import pandas as pd

from lmac.pages.study.listening_test import HIDDEN_REFERENCE, RANDOM
from lmac.pages.study.responses import QUESTIONS
from metrics.significance import LEVEL, holm, signed_rank
from metrics.summary import bootstrap_interval

# Post-screening of ITU-R BS.1534-3 (MUSHRA): the hidden reference below 90 in more than 15 % of
# the trials. On the five-point scale, below 4 (good).
INPUT_THRESHOLD = {"mushra": 90, "mos": 4}
INPUT_SHARE = 0.15


def screen(ratings, threshold, share):
    """Who listened with care.

    Arguments
    ---------
    ratings : DataFrame
        Of ``lmac.pages.study.analysis.read_ratings``.
    threshold, share : float
        Out is who rates the quality of the hidden reference below ``threshold`` in more than
        ``share`` of the clips.

    Out is also who gives every sound the same answer to a question, and who on average hears no
    better quality in the untouched input than under the random mask (as somebody does who
    answers the same or anything everywhere, only near the top of the scale).

    Returns a DataFrame with columns participant, kept, reason.
    """
    lines = []
    for participant, own in ratings.groupby("participant", sort=True):
        quality = own[own["question"] == "quality"]
        hidden = quality[quality["condition"] == HIDDEN_REFERENCE]["rating"]
        random = quality[quality["condition"] == RANDOM]["rating"]
        reasons = []
        below = (hidden < threshold).mean()
        if below > share:
            reasons.append(
                f"rated the quality of the hidden reference below {threshold:g} in "
                f"{100 * below:.0f} % of the clips"
            )
        if hidden.mean() <= random.mean():
            reasons.append(
                f"rated the quality of the hidden reference ({hidden.mean():.1f}) no better than "
                f"that of the random mask ({random.mean():.1f})"
            )
        for question, part in own.groupby("question", sort=False):
            if part["rating"].nunique() == 1 and len(part) > 1:
                reasons.append(f"answered {part['rating'].iloc[0]} to everything about {question}")
        lines.append(
            {"participant": participant, "kept": not reasons, "reason": "; ".join(reasons)}
        )
    return pd.DataFrame(lines)


def participant_means(ratings):
    """Mean over the clips: DataFrame [participants, conditions] for each question, as a dict."""
    return {
        question: ratings[ratings["question"] == question].pivot_table(
            index="participant", columns="condition", values="rating", aggfunc="mean", sort=True
        )
        for question in QUESTIONS
    }


def score_table(ratings, n_boot=10000):
    """Mean opinion scores, the best first in the first question.

    The interval (95 %) is of the mean over participants, who are resampled (percentile
    bootstrap): it says how the scores would vary with other listeners and these clips.

    Returns a DataFrame with columns question, condition, listeners, mean, lo, hi.
    """
    lines = []
    means = participant_means(ratings)
    first = next(iter(means.values())).mean().sort_values(ascending=False, kind="stable").index
    for question, table in means.items():
        for condition in first:
            values = table[condition].to_numpy()
            low, high = bootstrap_interval(values, n_boot=n_boot)
            lines.append(
                {
                    "question": question,
                    "condition": condition,
                    "listeners": len(values),
                    "mean": values.mean(),
                    "lo": low,
                    "hi": high,
                }
            )
    return pd.DataFrame(lines)


def significance_table(ratings, n_boot=10000):
    """All pairs of conditions, by the Wilcoxon signed-rank test of participants' means.

    Two-sided; p values are corrected by Holm over the pairs of one question. Participants with
    equal means drop out of a test, as usual; if all do, p is 1.

    Returns a DataFrame with columns question, a, b, difference (mean of a - b), lo, hi (95 %
    bootstrap interval), p, p_holm and significant (p_holm < 0.05).
    """
    lines = []
    for question, table in participant_means(ratings).items():
        pairs = []
        for a, b in combinations(table.columns, 2):
            # Means of the same ratings in another order may differ in the last digit.
            difference = (table[a] - table[b]).round(9).to_numpy()
            low, high = bootstrap_interval(difference, n_boot=n_boot)
            pairs.append(
                {
                    "question": question,
                    "a": a,
                    "b": b,
                    "difference": difference.mean(),
                    "lo": low,
                    "hi": high,
                    "p": signed_rank(difference),
                }
            )
        corrected = holm([pair["p"] for pair in pairs])
        for pair, p in zip(pairs, corrected, strict=True):
            lines.append({**pair, "p_holm": p, "significant": p < LEVEL})
    columns = ["question", "a", "b", "difference", "lo", "hi", "p", "p_holm", "significant"]
    return pd.DataFrame(lines, columns=columns)
