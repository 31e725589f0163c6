"""The command line as ``python -m scr2st``, for where its script is not on the path."""

import sys

from scr2st.cli import main

sys.exit(main())
