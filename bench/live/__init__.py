"""A results folder in the browser while a grid runs: `bench serve`, `bench run --watch`."""
