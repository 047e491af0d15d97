"""Cross-validation: every fold is the test fold once; mean and standard deviation over folds.

    python -m lmac folds recipes/UrbanSound8K/recipe.yaml --data_folder=…
    python -m lmac folds recipes/ESC10/recipe.yaml --data_folder=… --folds=[1,2] \
        --stages=[classifier,lmac,evaluation]

For test fold k, fold k-1 (cyclic) selects the checkpoint and the others train. A stage is one of
the same recipe; each runs in a process of its own, with its results in
<results_folder>/folds/fold_<k>, and those of the stages before. The command goes on where it was
killed and skips what is finished; several may run at once. Overrides reach every stage that has
such a key. Besides:

    --folds=[1,2]        only these test folds; the tables show all that are finished
    --stages=[a,b]       by default the given one alone
    --valid_shift=-1     the fold that selects the checkpoint, counted from the test fold
    --targets=valid      evaluations explain the valid fold, with contaminants of the test fold,
                         as published; test: the other way round
    --cycle=[1,2,3]      the folds there are, where a data set is not complete
    --processes=2        of each stage, started by torchrun
    --collect_only=True  runs nothing, and makes the tables of what is finished

Writes to <results_folder>/folds, for each stage: <name>.md and <name>.csv (mean and standard
deviation) and <name>_folds.csv (a row a fold), the name that of its results folder, such as
lmac_mel or evaluation_mixtures_mel.
"""

from lmac.evaluation.runs.repeats import OPTIONS, Repeats, listed, repeat
from lmac.settings.load import ConfigError

_ROLES = ("train_folds", "valid_folds", "test_folds", "target_folds", "contaminant_folds")


def main(argv):
    def choose(study, options):
        chosen = study.cycle if options["folds"] is None else listed(options["folds"])
        if not chosen:
            raise ConfigError(f"folds is []: expected some of {study.cycle}.")
        unknown = [fold for fold in chosen if fold not in study.cycle]
        if unknown:
            raise ConfigError(
                f"folds: there is no fold {unknown[0]}, expected some of {study.cycle}."
            )
        return chosen

    repeat(Folds, argv, choose)


class Folds(Repeats):
    """The stages of a recipe for each test fold; arguments and errors as of Repeats."""

    one = "fold"
    options = {**OPTIONS, "folds": None, "valid_shift": -1, "targets": "valid", "cycle": None}
    own = _ROLES

    def prepare(self, whole, options):
        published = {fold for key in _ROLES[:3] for fold in listed(whole[key])}
        self.cycle = listed(options["cycle"] or sorted(published))
        self.shift, self.targets = options["valid_shift"], options["targets"]
        if any(isinstance(fold, list | dict) for fold in self.cycle):
            raise ConfigError(f"cycle is {self.cycle}: expected names of folds, such as [1,2,3].")
        if type(self.shift) is not int:
            raise ConfigError(f"valid_shift is {self.shift!r}: expected a whole number, as -1.")
        if len(self.cycle) < 3 or self.shift % len(self.cycle) == 0:
            raise ConfigError(
                f"{len(self.cycle)} folds and valid_shift {self.shift}: expected at least three "
                "folds, and a shift to another than the test fold."
            )
        if self.targets not in ("valid", "test"):
            raise ConfigError(f"targets is {self.targets!r}: expected valid or test.")

    @property
    def all(self):
        return self.cycle

    def of(self, fold):
        """The settings ``train_folds``, ``valid_folds``, ... when ``fold`` is the test fold."""
        at = self.cycle.index(fold)
        valid = self.cycle[(at + self.shift) % len(self.cycle)]
        folds = {
            "train_folds": [f for f in self.cycle if f not in (fold, valid)],
            "valid_folds": [valid],
            "test_folds": [fold],
        }
        pair = [folds["valid_folds"], folds["test_folds"]]
        if self.targets == "test":
            pair.reverse()
        return {**folds, **dict(zip(_ROLES[3:], pair, strict=True))}

    def title(self, fold):
        return f"test fold {fold}"

    def caption(self, stage, done):
        plain = self.settings(stage, done[0])
        protocol = (
            f"For test fold k, fold k{self.shift:+d} (cyclic) selects the checkpoint and the "
            "others train."
        )
        if "scenario" in plain:
            protocol += f" Explained are clips of the {self.targets} fold."
        return [
            self.heading(stage, done),
            f"{protocol} {self.spread()} Seed {plain['seed']}.",
        ]
