"""``scr2st features``: describe the H&E patch of every spot."""

import math
from pathlib import Path
from typing import Annotated

import typer

from scr2st.outputs import must_be_writable, one_output_each
from scr2st_env.errors import InputError

EVERY_CORE = -1
HISTOLOGY = "histology-v1"


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
    um_per_px: Annotated[
        float | None,
        typer.Option(
            metavar="UM",
            help="Micrometres per pixel of patches cut from an image, as the encoder was trained "
            "on; default: whatever makes them 224 pixels wide.",
        ),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Patch encoder: histology-v1, uni, conch, virchow2, h-optimus-0, phikon, "
            "timm:MODEL, hf:OWNER/NAME, or the file that --train wrote.",
        ),
    ] = HISTOLOGY,
    train: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Train a small encoder on the patches of these slides, without labels, write it "
            "to FILE.safetensors, and use it.",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Of --train.")] = 30,
    seed: Annotated[int, typer.Option(metavar="N", help="Of --train.")] = 0,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="Where networks run: auto, cpu, cuda, ...")
    ] = "auto",
    download: Annotated[
        bool,
        typer.Option(
            "--download", help="Fetch weights that are not in your Hugging Face cache yet."
        ),
    ] = False,
    jobs: Annotated[
        int,
        typer.Option(metavar="N", help="Processes of histology-v1; -1 for every core."),
    ] = 1,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the new slides.")
    ] = Path("features"),
) -> None:
    """Describe the H&E patch of every spot: writes DIR/SLIDE.h5ad with obsm X_patch.

    Without --patches or --image, patches are cut from the small picture inside the slide's file,
    which is coarse. Large images (pyramidal TIFF, scanners' formats) are read region by region.
    What was encoded once is found again on disk. Inputs are never overwritten.

    Example: `scr2st features C2.h5ad C3.h5ad --patches patches/ -o features`
    """
    outputs = one_output_each(slides, output)
    if image is not None and len(slides) > 1:
        raise InputError(f"--image {image} is of one slide; run its slide alone")
    _must_be_a_size("--patch-um", patch_um, "side of a patch", patches)
    _must_be_a_size("--um-per-px", um_per_px, "size of a pixel", patches)
    if train is not None and encoder != HISTOLOGY:
        raise InputError("--train makes the encoder that is used; leave out --encoder")
    if jobs < 1 and jobs != EVERY_CORE:
        raise InputError(f"--jobs {jobs}: name a number from 1, or {EVERY_CORE} for every core")
    if train is not None:
        must_be_writable(train)
    from scr2st_env.encoders.base import get_encoder
    from scr2st_env.encoders.featurise import featurise_anndata
    from scr2st_env.files import replacing
    from scr2st_env.patches.source import patches_for

    chosen = get_encoder(encoder, device=device, download=download)
    sources = []  # all of them are opened first: what is wrong is said before the work
    for path in slides:
        file = patches / f"{path.stem}.npz" if patches is not None and patches.is_dir() else patches
        found = patches_for(path, patches=file, image=image, size_um=patch_um, um_per_px=um_per_px)
        sources.append(found)
    if train is not None:
        from scr2st_env.encoders.training import train_encoder

        chosen = train_encoder(sources, train, epochs=epochs, seed=seed, device=device)
        typer.echo(f"{train}: trained on {sum(map(len, sources))} patches ({chosen.name})")
    n_jobs = jobs if encoder == HISTOLOGY and train is None else 1
    for path, source, place in zip(slides, sources, outputs, strict=True):
        described = featurise_anndata(path, source, chosen, n_jobs=n_jobs)
        with replacing(place) as temporary:
            described.write_h5ad(temporary)
        typer.echo(f"{place}: {described.n_obs} spots x {chosen.dim} features ({chosen.name})")


def _must_be_a_size(option: str, value: float | None, what: str, patches: Path | None) -> None:
    if value is not None and patches is not None:
        raise InputError(f"{option} cuts patches from an image; leave it out with --patches")
    if value is not None and not 0 < value < math.inf:
        raise InputError(f"{option} {value:g} is no {what}; take one above 0")
