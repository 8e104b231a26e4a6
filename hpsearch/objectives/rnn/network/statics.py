"""Features of a whole sequence, beside its steps."""

import torch
from torch import Tensor, nn


def embedding_width(size: int) -> int:
    """Features for a category of `size` indices: fastai's rule (`emb_sz_rule`)."""
    return int(min(600, round(1.6 * size**0.56)))


class StaticFeatures(nn.Module):
    """Numbers as they are, and categories by embedding: `out_width` features a sequence."""

    def __init__(self, numbers: int, category_sizes: tuple[int, ...]) -> None:
        """`category_sizes`: how many indices each category has, with 0, which stands for what training has not seen."""
        super().__init__()
        self.embeddings = nn.ModuleList(_embedding(size) for size in category_sizes)
        self.out_width = numbers + sum(map(embedding_width, category_sizes))

    def forward(self, statics: Tensor | None, categories: Tensor | None) -> Tensor:
        """[batch, numbers] and int64 [batch, categories] to [batch, out_width]; None where there are none of a kind."""
        parts = [] if statics is None else [statics]
        if categories is not None:
            parts += [embedding(categories[:, column]) for column, embedding in enumerate(self.embeddings)]
        return torch.cat(parts, dim=1)


def _embedding(size: int) -> nn.Embedding:
    """Small at first, as fastai has it, so that rare values stay near each other; what is unknown begins between them,
    and learns where it occurs."""
    embedding = nn.Embedding(size, embedding_width(size))
    nn.init.trunc_normal_(embedding.weight, std=0.01, a=-0.02, b=0.02)
    embedding.weight.data[0] = 0.0
    return embedding
