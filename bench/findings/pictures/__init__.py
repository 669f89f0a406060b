"""The pictures of the page: the report's own kinds for one setting, and four of findings."""

from __future__ import annotations

from bench.findings.pictures.adapters import of_adapters
from bench.findings.pictures.companies import of_companies
from bench.findings.pictures.effects import of_effects
from bench.findings.pictures.layers import of_layers
from bench.findings.pictures.sections import of_sections

__all__ = ["of_adapters", "of_companies", "of_effects", "of_layers", "of_sections"]
