"""The command python -m swis.analysis [RESULTS]: compare the paper's claims with the rows in results/."""

import sys

from swis.analysis.claims_table import main

sys.exit(main(sys.argv[1:]))
