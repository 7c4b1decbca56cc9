"""Concordant: train language models from human preferences, the whole circle of Bai et al. 2022."""

__version__ = "0.1.0"
