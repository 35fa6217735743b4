"""`python -m filopodia` is `filopodia`."""

import sys

from filopodia.cli import main

if __name__ == "__main__":
    sys.exit(main())
