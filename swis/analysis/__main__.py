"""python -m swis.analysis [RESULTS]: the claims, judged by the rows in results/."""

import sys

from swis.analysis.claims_table import main

sys.exit(main(sys.argv[1:]))
