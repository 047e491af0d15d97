"""``lmac``, or ``python -m lmac``: see :mod:`lmac.settings.cli`."""

from lmac.settings.cli import dispatch as main

if __name__ == "__main__":
    main()
