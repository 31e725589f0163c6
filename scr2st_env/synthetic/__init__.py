"""A synthetic tissue: grown from a seed, drawn, sequenced, and shipped with the package.

``SpotSampling-v0`` plays on the sections of :data:`TRAINING`, with :func:`load_reference`, when no
slides are named; those of :data:`TEST`, of other patients, are there to judge agents on.
``python -m scr2st_env.synthetic`` remakes those files; with ``--h5ad`` it writes ``.h5ad`` files
and patches to try the whole tool on, and with ``--check`` it prints how hard the tissue is beside
HER2ST (docs/synthetic.md has the table).
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from scr2st_env.synthetic.embedded import (
        TEST as TEST,
    )
    from scr2st_env.synthetic.embedded import (
        TRAINING as TRAINING,
    )
    from scr2st_env.synthetic.embedded import (
        load_reference as load_reference,
    )
    from scr2st_env.synthetic.embedded import (
        load_slide as load_slide,
    )
    from scr2st_env.synthetic.embedded import (
        load_slides as load_slides,
    )
    from scr2st_env.synthetic.tissue import SyntheticTissue as SyntheticTissue

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "embedded": ["TEST", "TRAINING", "load_reference", "load_slide", "load_slides"],
        "tissue": ["SyntheticTissue"],
    },
)
