"""Adapters that leave the results folder: model cards, uploads, merged models, other formats."""
