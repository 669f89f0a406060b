"""Findings: answers to the questions the harness was built for, from committed results alone."""
