"""The part of scGPT that embeds a cell, rebuilt from its paper for its published weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from scr2st_env.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_VALUE = 512.0
FLASH, PLAIN = "self_attn.Wqkv.", "self_attn.in_proj_"  # the same weights under two names
# What else a checkpoint holds: heads that only training needs.
OTHER_PARTS = ("decoder.", "cls_decoder.", "mvc_decoder.", "flag_encoder.", "sim.", "bn.",
               "grad_reverse_discriminator.", "batch_encoder.")  # fmt: skip


class ScGPTNetwork(nn.Module):
    """Gene tokens plus value tokens through a transformer encoder; the first token is the cell.

    Parameters
    ----------
    n_tokens
        Size of the vocabulary.
    width
        Of a token, D.
    n_heads, n_layers, hidden
        Of the transformer, which normalises after each part.

    References
    ----------
    Cui et al. (2024), scGPT, Nature Methods 21, 1470-1480.
    """

    def __init__(self, n_tokens: int, width: int, n_heads: int, n_layers: int, hidden: int) -> None:
        super().__init__()
        self.width = width
        self.encoder = nn.ModuleDict(
            {"embedding": nn.Embedding(n_tokens, width), "enc_norm": nn.LayerNorm(width)}
        )
        self.value_encoder = nn.ModuleDict(
            {
                "linear1": nn.Linear(1, width),
                "linear2": nn.Linear(width, width),
                "norm": nn.LayerNorm(width),
            }
        )
        layer = nn.TransformerEncoderLayer(width, n_heads, hidden, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(
            layer, n_layers, enable_nested_tensor=False
        )

    def forward(
        self, tokens: torch.Tensor, values: torch.Tensor, padding: torch.Tensor
    ) -> torch.Tensor:
        """Return cells, (n, D), of length 1.

        Parameters
        ----------
        tokens
            int64 (n, length): the cell's token, then genes.
        values
            float32 (n, length): a filler for the cell, then bins of expression.
        padding
            bool (n, length): which tokens are none.
        """
        genes = self.encoder["enc_norm"](self.encoder["embedding"](tokens))
        lifted = self.value_encoder["linear1"](values.clamp(max=LARGEST_VALUE)[..., None])
        amounts = self.value_encoder["norm"](self.value_encoder["linear2"](torch.relu(lifted)))
        encoded = self.transformer_encoder(genes + amounts, src_key_padding_mask=padding)
        return nn.functional.normalize(encoded[:, 0], dim=1)


def network_of(
    settings: Mapping[str, Any], weights: Mapping[str, torch.Tensor], where: str
) -> ScGPTNetwork:
    """Build the network that a checkpoint's ``args.json`` describes and load its weights.

    Raises
    ------
    InputError
        If a setting or a weight is missing, or is of another kind of model.
    """
    style = settings.get("input_emb_style", "continuous")
    if style != "continuous" or settings.get("use_batch_labels", False):
        raise InputError(
            f"{where} has input_emb_style={style!r}, use_batch_labels="
            f"{settings.get('use_batch_labels', False)}; only continuous values without batch "
            "labels, as in the published checkpoints, are read"
        )
    named = {name.removeprefix("module.").replace(FLASH, PLAIN): w for name, w in weights.items()}
    try:
        with torch.device("meta"):
            network = ScGPTNetwork(
                len(named["encoder.embedding.weight"]),
                *(int(settings[key]) for key in ("embsize", "nheads", "nlayers", "d_hid")),
            )
        kept = {name: w.float() for name, w in named.items() if not name.startswith(OTHER_PARTS)}
        network.load_state_dict(kept, assign=True)
    except (KeyError, RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{where} is no checkpoint of scGPT ({reason})") from error
    return network.eval().requires_grad_(requires_grad=False)
