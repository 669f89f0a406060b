"""Recipes, the semantic space, and one file per part."""
