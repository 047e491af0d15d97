"""Building the methods of an evaluation, and scoring their masks."""


def get_interpreters(available, names, explained):
    """Build the interpreters called ``names``.

    Arguments
    ---------
    available : dict
        Name to factory, called with ``explained``: the ``interpreters`` of a YAML.
    names : list of str
        Which of them; ValueError with the valid names for an unknown one.
    """
    unknown = [n for n in names if n not in available]
    if unknown:
        raise ValueError(
            f"methods: unknown interpreter {', '.join(map(repr, unknown))}; "
            f"expected some of {', '.join(available)}."
        )
    return {name: available[name](explained) for name in names}
