"""Studies: each answers one question with a table and a picture."""
