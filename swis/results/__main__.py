"""python -m swis.results summary|compact|check DIR."""

import sys

from swis.results.command import main

sys.exit(main())
