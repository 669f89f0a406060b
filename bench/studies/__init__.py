"""Studies: questions that one table and one picture answer."""
