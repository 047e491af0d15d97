"""What scenarios there are: with what a target is mixed, and how loud. Needs nothing but Python."""

from dataclasses import dataclass

GAUSSIAN = "gaussian"  # the contaminant that is no recording, but drawn anew for every clip


@dataclass(frozen=True)
class Scenario:
    """``g1 s1 / |s1| + g2 s2 / |s2|`` of a target and what ``contaminants`` says.

    ``contaminants`` are clips of other "folds", recordings of a "folder", "gaussian" noise or
    None; each target has ``per_target`` different ones. ``short`` says whether one that is
    shorter than the clip is zero-padded ("pad") or looped ("loop").
    """

    contaminants: str | None = None
    per_target: int = 1
    gains: tuple = (1.0, 0.0)
    short: str = "pad"


AMBIENT = Scenario("folder", gains=(1.0, 1.0), short="loop")  # 0 dB
SCENARIOS = {
    "plain": Scenario(),
    "id": AMBIENT,  # for what was trained in this noise
    "noise": AMBIENT,  # for what was not
    "mixtures": Scenario("folds", 2, (0.8, 0.2)),  # the contaminant is 12 dB below
    "white_noise": Scenario("gaussian", gains=(1.0, 0.5)),
    "speech": Scenario("folder", 2, (0.8, 0.2)),
}
# These draw from a folder of recordings rather than from folds of the data set.
EXTERNAL = tuple(name for name, kind in SCENARIOS.items() if kind.contaminants == "folder")
