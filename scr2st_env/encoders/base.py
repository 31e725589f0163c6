"""What a patch encoder is, and where encoders are found by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from scr2st_env.arrays import FloatArray


@runtime_checkable
class PatchEncoder(Protocol):
    """Turns H&E patches into feature vectors.

    Attributes
    ----------
    name
        Identifies the encoder, its weights and its version: features of two encoders with the
        same name are interchangeable, and the cache relies on it.
    dim
        Width D of the features.
    """

    name: str
    dim: int

    def encode(self, patches: NDArray[np.uint8]) -> FloatArray:
        """Return the features, float32 (n, D), of RGB patches, uint8 (n, height, width, 3).

        A patch's features depend on that patch alone, so patches can be encoded in any order.
        """
        ...


def _histology() -> PatchEncoder:
    from scr2st_env.encoders.histology import HistologyEncoder

    return HistologyEncoder()


_FACTORIES: dict[str, Callable[[], PatchEncoder]] = {"histology-v1": _histology}


def register_encoder(name: str, factory: Callable[[], PatchEncoder]) -> None:
    """Make an encoder available under its name, on the command line too.

    Parameters
    ----------
    name
        Its :attr:`PatchEncoder.name`.
    factory
        Called without arguments when the encoder is first wanted.

    Raises
    ------
    InputError
        If the name is taken.
    """
    if name in _FACTORIES:
        raise InputError(f"a patch encoder named {name!r} exists already; choose another name")
    _FACTORIES[name] = factory


def get_encoder(
    name: str, *, device: str = "auto", batch_size: int = 64, download: bool = False
) -> PatchEncoder:
    """Return the encoder of that name.

    Parameters
    ----------
    name
        ``"histology-v1"``, which needs no weights; a pathology model: ``"uni"``, ``"uni2-h"``,
        ``"conch"``, ``"virchow2"``, ``"h-optimus-0"``, ``"h-optimus-1"``, ``"phikon"``,
        ``"phikon-v2"``; ``"timm:resnet50"`` or any other model of timm, ``"timm:owner/name"``;
        ``"hf:facebook/dinov2-small"`` or any other vision model of transformers; a file that
        :func:`scr2st_env.encoders.train_encoder` saved; or a name given to
        :func:`register_encoder`. After ``hf:`` and ``timm:`` a folder may be named.
    device
        ``"auto"`` (CUDA where there is one), ``"cpu"``, ``"cuda"``, ... Networks only, like what
        follows.
    batch_size
        Patches at a time.
    download
        Fetch weights that are not in the Hugging Face cache. Without it nothing goes over the
        network.

    Returns
    -------
    PatchEncoder
        A network's name ends in a digest of its weights and of what is done with its input.

    Raises
    ------
    InputError
        If there is no such encoder, or its library or weights are missing; the message says how
        to get them.
    """
    if name in _FACTORIES:
        return _FACTORIES[name]()
    from scr2st_env.encoders.pathology import PATHOLOGY_MODELS, pathology_encoder

    if name in PATHOLOGY_MODELS:
        return pathology_encoder(name, device=device, batch_size=batch_size, download=download)
    library, colon, model = name.partition(":")
    if colon and library == "timm":
        from scr2st_env.encoders.timm_models import timm_encoder

        return timm_encoder(name, model, device=device, batch_size=batch_size, download=download)
    if colon and library == "hf":
        from scr2st_env.encoders.huggingface import huggingface_encoder

        return huggingface_encoder(
            name, model, device=device, batch_size=batch_size, download=download
        )
    if name.endswith(".safetensors"):
        from scr2st_env.encoders.trained import load_encoder

        return load_encoder(name, device=device, batch_size=batch_size, find=get_encoder)
    known = ", ".join([*_FACTORIES, *PATHOLOGY_MODELS])
    raise InputError(
        f"no patch encoder is named {name!r}; there is {known}, timm:MODEL, hf:OWNER/NAME, and "
        "FILE.safetensors"
    )
