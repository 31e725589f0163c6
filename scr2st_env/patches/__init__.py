"""H&E patches: read from files, or cut around the spots of a section's image."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from scr2st_env.patches.jpeg_file import patches_of as patches_of
    from scr2st_env.patches.jpeg_file import read_patches as read_patches
    from scr2st_env.patches.section_image import cut_patches as cut_patches
    from scr2st_env.patches.section_image import image_patches as image_patches
    from scr2st_env.patches.section_image import open_image as open_image
    from scr2st_env.patches.section_image import read_image as read_image
    from scr2st_env.patches.source import PatchSource as PatchSource
    from scr2st_env.patches.source import patches_for as patches_for

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "jpeg_file": ["patches_of", "read_patches"],
        "section_image": ["cut_patches", "image_patches", "open_image", "read_image"],
        "source": ["PatchSource", "patches_for"],
    },
)
