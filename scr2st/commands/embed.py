"""``scr2st embed``: spots and cells brought into one space."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from scr2st.outputs import must_be_writable, one_output_each
from scr2st.spaces import EMBEDDER, must_be_the_space_in, space_key, space_of
from scr2st_env.errors import InputError

COMPOSITION = "composition.safetensors"


class Types(StrEnum):
    """How spots are typed."""

    NNLS = "nnls"
    NEAREST = "nearest"


def embed(
    slides: Annotated[
        list[Path],
        typer.Argument(metavar="SLIDE", help="Measured slides, .h5ad.", show_default=False),
    ],
    *,
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Single-cell reference with a cell type for each cell, .h5ad."
        ),
    ] = None,
    fit_on: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="SLIDE...",
            help="Slides that say how the spots' platform differs from the reference's; default: "
            "all that are embedded. Where some of them serve to test an agent, name the "
            "training slides alone.",
            show_default=False,
        ),
    ] = None,
    embedder: Annotated[
        str,
        typer.Option(
            metavar="NAME|DIR",
            help="What to fit: pca, scvi, or scgpt:FOLDER with a checkpoint of scGPT. Or fit "
            "nothing, and use what an earlier run left in DIR, as for a new slide: that takes the "
            "place of --reference.",
        ),
    ] = "pca",
    types: Annotated[
        Types,
        typer.Option(
            help="Where a spot's cell types come from: non-negative least squares on the types' "
            "profiles, or the nearest cells in the embedding.",
        ),
    ] = Types.NNLS,
    cell_type: Annotated[
        str, typer.Option(metavar="COLUMN", help="obs column of the reference's labels.")
    ] = "cell_type",
    components: Annotated[
        int, typer.Option(min=1, metavar="E", help="Dimensions of the embedding.")
    ] = 16,
    genes: Annotated[
        int,
        typer.Option(min=1, metavar="G", help="Most variable shared genes to use; not of scgpt."),
    ] = 2000,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the new files.")
    ] = Path("embedded"),
) -> None:
    """Bring spots and cells into one space: writes slides with obsm X_cell and X_type.

    X_cell is a spot's image in the reference's space, X_type its composition of cell types. Beside
    the slides, DIR gets the reference with X_cell, and what was fitted. All that lies in DIR is of
    one space, which uns X_cell_space names. Inputs are never overwritten.

    Example: `scr2st embed features/C2.h5ad features/C3.h5ad --reference atlas.h5ad -o embedded`,
    and later `scr2st embed features/C4.h5ad --embedder embedded -o embedded`
    """
    earlier = None if is_a_name(embedder) else Path(embedder)
    if earlier is not None and (reference is not None or fit_on):
        raise InputError(
            f"--embedder {embedder} is fitted already; leave out --reference and --fit-on, or name "
            "pca, scvi or scgpt:FOLDER"
        )
    if earlier is None and reference is None:
        raise InputError("name the single-cell atlas with --reference, or an earlier --embedder")
    inputs = [*slides, reference] if reference is not None else slides
    outputs = one_output_each(inputs, output)
    must_be_writable(output / EMBEDDER)
    for path in slides:
        if is_live(path):
            raise InputError(
                f"{path} has no counts: a live slide needs no embedding, its spots are bought with "
                "features alone; embed it when it was measured"
            )
    from scr2st_env.embedders.base import get_embedder, load_embedder
    from scr2st_env.embedders.composition import TypeComposition
    from scr2st_env.embedders.embed import embed_anndata
    from scr2st_env.embedders.nearest_types import NearestTypes, SpotTyping, load_types
    from scr2st_env.files import replacing

    typing: SpotTyping
    if earlier is None and reference is not None:
        training = fit_on or slides
        model = get_embedder(embedder, n_components=components, n_genes=genes)
        model.fit(reference, training)
        typing = NearestTypes(model) if types is Types.NEAREST else TypeComposition()
        typing.fit(reference, training, cell_type)
    elif earlier is not None:
        must_be_the_space_in(output, space_of(earlier / EMBEDDER))
        model = load_embedder(earlier / EMBEDDER)
        typing = load_types(earlier / COMPOSITION, model)
    embedded = [embed_anndata(path, model, typing) for path in slides]
    if reference is not None:
        embedded.append(embed_anndata(reference, model, platform="cells"))
        with replacing(output / EMBEDDER) as temporary:
            model.save(temporary)
            must_be_the_space_in(output, space_of(temporary))
        typing.save(output / COMPOSITION)
    space = space_of((earlier or output) / EMBEDDER)
    for adata, place in zip(embedded, outputs, strict=True):
        adata.uns[space_key("X_cell")] = space
        with replacing(place) as temporary:
            adata.write_h5ad(temporary)
        typer.echo(f"{place}: {adata.n_obs} x {adata.obsm['X_cell'].shape[1]} embedding")
    if reference is not None:
        typer.echo(f"later slides: scr2st embed SLIDE --embedder {output} -o {output}")


def is_a_name(embedder: str) -> bool:
    """Whether ``--embedder`` names what is to be fitted, rather than a folder."""
    return embedder in {"pca", "scvi"} or embedder.startswith("scgpt:")


def is_live(path: Path) -> bool:
    """Whether an ``.h5ad`` file holds neither counts nor genes: nothing was measured yet."""
    import h5py

    try:
        with h5py.File(path) as file:
            stored = [file.get("X"), file.get("layers/counts")]
            present = [matrix for matrix in stored if matrix is not None]
            return all(_n_columns(matrix) == 0 for matrix in present)
    except OSError:
        return False  # whoever reads the slide says what is wrong with it


def _n_columns(matrix: Any) -> int:
    shape = matrix.attrs.get("shape", getattr(matrix, "shape", None))  # sparse, dense
    return 0 if shape is None or len(shape) < 2 else int(shape[1])
