"""``scr2st features``: describe the H&E patch of every spot."""

import math
from pathlib import Path
from typing import Annotated

import typer

from scr2st.outputs import one_output_each
from scr2st_env.errors import InputError

EVERY_CORE = -1


def features(
    slides: Annotated[
        list[Path], typer.Argument(metavar="SLIDE", help="Slides, .h5ad.", show_default=False)
    ],
    *,
    patches: Annotated[
        Path | None,
        typer.Option(
            metavar="NPZ",
            help="The patches of the slide's spots; for several slides, the folder that holds "
            "one SLIDE.npz for each.",
        ),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The slide's full-resolution image, to cut patches from; for one slide.",
        ),
    ] = None,
    patch_um: Annotated[
        float | None,
        typer.Option(
            metavar="UM", help="Side of a patch cut from an image; default 1.5 spot diameters."
        ),
    ] = None,
    encoder: Annotated[str, typer.Option(metavar="NAME", help="Patch encoder.")] = "histology-v1",
    jobs: Annotated[int, typer.Option(metavar="N", help="Processes; -1 for every core.")] = 1,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the new slides.")
    ] = Path("features"),
) -> None:
    """Describe the H&E patch of every spot: writes DIR/SLIDE.h5ad with obsm X_patch.

    Without --patches or --image, patches are cut from the small picture inside the slide's file,
    which is coarse. What was encoded once is found again on disk. Inputs are never overwritten.

    Example: `scr2st features C2.h5ad C3.h5ad --patches patches/ -o features`
    """
    outputs = one_output_each(slides, output)
    if image is not None and len(slides) > 1:
        raise InputError(f"--image {image} is of one slide; run its slide alone")
    if patch_um is not None and patches is not None:
        raise InputError("--patch-um cuts patches from an image; leave it out with --patches")
    if patch_um is not None and not 0 < patch_um < math.inf:
        raise InputError(f"--patch-um {patch_um:g} is no side of a patch; take one above 0")
    if jobs < 1 and jobs != EVERY_CORE:
        raise InputError(f"--jobs {jobs}: name a number from 1, or {EVERY_CORE} for every core")
    from scr2st_env.encoders.base import get_encoder
    from scr2st_env.encoders.featurise import featurise_anndata
    from scr2st_env.files import replacing
    from scr2st_env.patches.source import patches_for

    chosen = get_encoder(encoder)
    sources = []  # all of them are opened first: what is wrong is said before the work
    for path in slides:
        file = patches / f"{path.stem}.npz" if patches is not None and patches.is_dir() else patches
        sources.append(patches_for(path, patches=file, image=image, size_um=patch_um))
    for path, source, place in zip(slides, sources, outputs, strict=True):
        described = featurise_anndata(path, source, chosen, n_jobs=jobs)
        with replacing(place) as temporary:
            described.write_h5ad(temporary)
        typer.echo(f"{place}: {described.n_obs} spots x {chosen.dim} features ({chosen.name})")
