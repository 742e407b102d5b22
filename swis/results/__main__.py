"""python -m swis.results summary|compact|check DIR."""

import sys

from swis.results.records import main

sys.exit(main())
