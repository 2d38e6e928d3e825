"""`python -m cascade_nb` is the shell command `cascade`."""

import sys

from cascade_nb.cli import main

if __name__ == "__main__":
    sys.exit(main())
