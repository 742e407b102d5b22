"""python -m swis.gallery [NAME ...]: draw the figures."""

import sys

from swis.gallery.figures import main

sys.exit(main(sys.argv[1:]))
