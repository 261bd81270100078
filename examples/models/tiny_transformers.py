"""Models of transformers, small and of random weights: what `model:` of transformers.yaml names."""

from __future__ import annotations

from typing import Final

from transformers import BertConfig, BertForSequenceClassification, ViTConfig, ViTForImageClassification

# With the usual 0.02, outputs of a model of random weights hardly depend on its inputs.
SPREAD: Final = 0.2


def bert() -> BertForSequenceClassification:
    """A BERT that classifies sequences, of two layers and 64 words."""
    config = BertConfig(
        vocab_size=64,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        initializer_range=SPREAD,
        max_position_embeddings=32,
    )
    return BertForSequenceClassification(config)


def vit() -> ViTForImageClassification:
    """A ViT that classifies images of 32 by 32 pixels, of two layers."""
    config = ViTConfig(
        image_size=32,
        patch_size=8,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        initializer_range=SPREAD,
    )
    return ViTForImageClassification(config)
