"""Texts: passages are trained, and questions about them asked."""
