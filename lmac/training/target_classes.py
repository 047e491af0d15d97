"""Which class a clip is asked for, when a decoder learns to explain any class."""

import torch


class TargetClasses:
    """Draws the class that each clip is asked for.

    Arguments
    ---------
    decision : float
        Share of the clips that are asked for the classifier's own decision.
    source : float
        Share that is asked for what the classifier decides on one of the two sounds that make up
        the clip, heard alone.
    probable : float
        Share that is asked for the second most probable class. The rest is asked for any class.

    Raises ValueError for shares that are negative or sum to more than 1.
    """

    def __init__(self, decision=0.35, source=0.25, probable=0.1):
        shares = torch.tensor([decision, source, probable], dtype=torch.float64)
        if bool((shares < 0).any()) or shares.sum() > 1 + 1e-9:
            raise ValueError(
                f"The shares of asked classes are {decision}, {source} and {probable}: expected "
                "numbers of at least 0 whose sum is at most 1."
            )
        self.limits = shares.cumsum(0)

    def __call__(self, logits, sources):
        """Classes [B].

        Arguments
        ---------
        logits : Tensor [B, K]
            Of the clips.
        sources : Tensor [B, 2]
            Decisions on the clip's own sound and on what was mixed in, each heard alone.
        """
        (n, n_classes), device = logits.shape, logits.device
        ranked = logits.topk(min(2, n_classes), dim=1).indices
        either = sources.gather(1, torch.randint(2, (n, 1), device=device))
        any_class = torch.randint(n_classes, (n, 1), device=device)
        choices = torch.cat([ranked[:, :1], either, ranked[:, -1:], any_class], dim=1)
        kind = torch.bucketize(torch.rand(n), self.limits.float(), right=True).to(device)
        return choices.gather(1, kind[:, None]).squeeze(1)
