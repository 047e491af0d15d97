"""``python -m lmac``: see :mod:`lmac.settings.commands`."""

import sys

from lmac.settings.commands import dispatch

if __name__ == "__main__":
    dispatch(sys.argv[1:])
